;; SipHash-1-3 with the key 0/0 over a length-prefixed message, as Rust's `DefaultHasher` hashes a
;; `[u8]`: the length as u64 little-endian, then the bytes (Aumasson and Bernstein, "SipHash: a
;; fast short-input PRF", sections 2.1 to 2.4, with one compression and three finalization rounds).
;;
;; The caller writes the bytes at offset 8 and calls `hash(length)`. WebAssembly, because 64-bit
;; words cost 14 times more in JavaScript. `deno task orb:generate` makes sip_hash_gen.ts of it.
(module
  (memory (export "memory") 1)

  (func $round
    (param $v0 i64) (param $v1 i64) (param $v2 i64) (param $v3 i64)
    (result i64 i64 i64 i64)
    (local.set $v0 (i64.add (local.get $v0) (local.get $v1)))
    (local.set $v2 (i64.add (local.get $v2) (local.get $v3)))
    (local.set $v1 (i64.rotl (local.get $v1) (i64.const 13)))
    (local.set $v3 (i64.rotl (local.get $v3) (i64.const 16)))
    (local.set $v1 (i64.xor (local.get $v1) (local.get $v0)))
    (local.set $v3 (i64.xor (local.get $v3) (local.get $v2)))
    (local.set $v0 (i64.rotl (local.get $v0) (i64.const 32)))
    (local.set $v2 (i64.add (local.get $v2) (local.get $v1)))
    (local.set $v0 (i64.add (local.get $v0) (local.get $v3)))
    (local.set $v1 (i64.rotl (local.get $v1) (i64.const 17)))
    (local.set $v3 (i64.rotl (local.get $v3) (i64.const 21)))
    (local.set $v1 (i64.xor (local.get $v1) (local.get $v2)))
    (local.set $v3 (i64.xor (local.get $v3) (local.get $v0)))
    (local.set $v2 (i64.rotl (local.get $v2) (i64.const 32)))
    local.get $v0 local.get $v1 local.get $v2 local.get $v3)

  (func (export "hash") (param $length i32) (result i64)
    (local $v0 i64) (local $v1 i64) (local $v2 i64) (local $v3 i64)
    (local $word i64) (local $at i32) (local $total i32) (local $last i32)
    ;; "somepseudorandomlygeneratedbytes", xored with a key of zeros.
    (local.set $v0 (i64.const 0x736f6d6570736575))
    (local.set $v1 (i64.const 0x646f72616e646f6d))
    (local.set $v2 (i64.const 0x6c7967656e657261))
    (local.set $v3 (i64.const 0x7465646279746573))

    (i64.store (i32.const 0) (i64.extend_i32_u (local.get $length)))
    (local.set $total (i32.add (local.get $length) (i32.const 8)))
    (local.set $last (i32.and (local.get $total) (i32.const -8)))

    (loop $words
      (local.set $word (i64.load (local.get $at)))
      (local.set $v3 (i64.xor (local.get $v3) (local.get $word)))
      (call $round (local.get $v0) (local.get $v1) (local.get $v2) (local.get $v3))
      local.set $v3 local.set $v2 local.set $v1 local.set $v0
      (local.set $v0 (i64.xor (local.get $v0) (local.get $word)))
      (local.set $at (i32.add (local.get $at) (i32.const 8)))
      (br_if $words (i32.lt_u (local.get $at) (local.get $last))))

    ;; The last word: the bytes left over, zeros, and the total length modulo 256 on top. What an
    ;; earlier, longer message left behind the bytes is masked away.
    (local.set $word
      (i64.or
        (i64.and
          (i64.load (local.get $at))
          (i64.sub
            (i64.shl
              (i64.const 1)
              (i64.shl
                (i64.extend_i32_u (i32.and (local.get $total) (i32.const 7)))
                (i64.const 3)))
            (i64.const 1)))
        (i64.shl (i64.extend_i32_u (local.get $total)) (i64.const 56))))
    (local.set $v3 (i64.xor (local.get $v3) (local.get $word)))
    (call $round (local.get $v0) (local.get $v1) (local.get $v2) (local.get $v3))
    local.set $v3 local.set $v2 local.set $v1 local.set $v0
    (local.set $v0 (i64.xor (local.get $v0) (local.get $word)))

    (local.set $v2 (i64.xor (local.get $v2) (i64.const 0xff)))
    (call $round (local.get $v0) (local.get $v1) (local.get $v2) (local.get $v3))
    local.set $v3 local.set $v2 local.set $v1 local.set $v0
    (call $round (local.get $v0) (local.get $v1) (local.get $v2) (local.get $v3))
    local.set $v3 local.set $v2 local.set $v1 local.set $v0
    (call $round (local.get $v0) (local.get $v1) (local.get $v2) (local.get $v3))
    local.set $v3 local.set $v2 local.set $v1 local.set $v0
    (i64.xor
      (i64.xor (local.get $v0) (local.get $v1))
      (i64.xor (local.get $v2) (local.get $v3)))))
