// A peer for interop tests: ping-pong over webtransport-go.
//
//	peer server <cert.pem> <key.pem>   prints "listening <port>"
//	peer client <url> <sha256-hex>     opens a session and prints "connected", or why there is none
//
// The client does no more: webtransport-go demands QUIC's stream resets with partial delivery of a
// server, which Deno's QUIC has not.
package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/webtransport-go"
)

const (
	ping     = 0
	pong     = 1
	maxFrame = 1 << 20
)

// pongTo gives the answer to a ping, bincode's default form; nil for anything else.
func pongTo(message []byte) []byte {
	if len(message) < 12 || binary.LittleEndian.Uint32(message) != ping {
		return nil
	}
	length := binary.LittleEndian.Uint64(message[4:])
	if uint64(len(message)) < 12+length {
		return nil
	}
	requestID := message[12 : 12+length]
	data := []byte("Pong!")
	id := sha256.Sum256(data)
	answer := binary.LittleEndian.AppendUint32(nil, pong)
	answer = append(binary.LittleEndian.AppendUint64(answer, uint64(len(id))), id[:]...)
	answer = append(binary.LittleEndian.AppendUint64(answer, length), requestID...)
	answer = binary.LittleEndian.AppendUint32(answer, pong)
	return append(binary.LittleEndian.AppendUint64(answer, uint64(len(data))), data...)
}

// answer reads frames and writes what they are answered with, until the stream ends.
func answer(from io.Reader, write func([]byte) error) error {
	for {
		var head [8]byte
		if _, err := io.ReadFull(from, head[:]); err != nil {
			return err
		}
		length := binary.BigEndian.Uint64(head[:])
		if length == 0 || length > maxFrame {
			return fmt.Errorf("a frame of %d bytes", length)
		}
		message := make([]byte, length)
		if _, err := io.ReadFull(from, message); err != nil {
			return err
		}
		if body := pongTo(message); body != nil {
			frame := append(binary.BigEndian.AppendUint64(nil, uint64(len(body))), body...)
			if err := write(frame); err != nil {
				return err
			}
		}
	}
}

func serveSession(session *webtransport.Session) {
	ctx := session.Context()
	go func() {
		for {
			stream, err := session.AcceptStream(ctx)
			if err != nil {
				return
			}
			go func() {
				write := func(frame []byte) error { _, err := stream.Write(frame); return err }
				if err := answer(stream, write); errors.Is(err, io.EOF) {
					stream.Close()
				}
			}()
		}
	}()
	go func() {
		var lock sync.Mutex
		var answers *webtransport.SendStream
		for {
			stream, err := session.AcceptUniStream(ctx)
			if err != nil {
				return
			}
			if answers == nil {
				if answers, err = session.OpenUniStream(); err != nil {
					return
				}
				// The client waits for our stream before it pings: its header must not wait for an answer.
				if _, err = answers.Write(nil); err != nil {
					return
				}
			}
			go answer(stream, func(frame []byte) error {
				lock.Lock()
				defer lock.Unlock()
				_, err := answers.Write(frame)
				return err
			})
		}
	}()
	go func() {
		for {
			message, err := session.ReceiveDatagram(ctx)
			if err != nil {
				return
			}
			if body := pongTo(message); body != nil {
				// One that cannot be sent is lost, as datagrams may be.
				_ = session.SendDatagram(body)
			}
		}
	}()
}

func serve(cert, key string) error {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return err
	}
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return err
	}
	h3 := &http3.Server{TLSConfig: http3.ConfigureTLSConfig(&tls.Config{Certificates: []tls.Certificate{pair}})}
	server := &webtransport.Server{H3: h3}
	h3.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		session, err := server.Upgrade(w, r)
		if err != nil {
			log.Printf("no session: %v", err)
			return
		}
		serveSession(session)
	})
	fmt.Println("listening", conn.LocalAddr().(*net.UDPAddr).Port)
	return server.Serve(conn)
}

func connect(url, wanted string) error {
	check := func(state tls.ConnectionState) error {
		hash := sha256.Sum256(state.PeerCertificates[0].Raw)
		if hex.EncodeToString(hash[:]) != wanted {
			return errors.New("the certificate is not the pinned one")
		}
		return nil
	}
	transport := &webtransport.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, VerifyConnection: check},
		QUICConfig:      &quic.Config{EnableDatagrams: true, EnableStreamResetPartialDelivery: true},
	}
	defer transport.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	_, session, err := transport.Dial(ctx, url, nil)
	if err != nil {
		return err
	}
	fmt.Println("connected")
	return session.CloseWithError(0, "")
}

func main() {
	err := errors.New("peer server <cert> <key> | peer client <url> <hash>")
	if len(os.Args) == 4 {
		switch os.Args[1] {
		case "server":
			err = serve(os.Args[2], os.Args[3])
		case "client":
			err = connect(os.Args[2], os.Args[3])
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
