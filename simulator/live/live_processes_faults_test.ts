import { eventually } from "../../service/testing/eventually.ts";
import { processesTest, testKills } from "./test_kills.ts";
import { testLive } from "./test_live.ts";

processesTest(
  "parts of their own programs, killed -9 mid-order on SQLite: every order is applied once",
  async () => {
    await using test = await testLive({ processes: true, durability: "power-loss" });
    await testKills(test);
  },
);

processesTest(
  "a part that a fault lets crash at its commit is killed -9, and comes back",
  async () => {
    await using test = await testLive({
      processes: true,
      faults: [{ point: 4, kind: "crash-before", probability: 1 }],
    });
    const { live } = test;
    const lambda = () => live.state().parts.find(({ name }) => name === "lambda-2.0")!;
    const first = await eventually("its process", () => lambda().pid);
    live.submitOrders(1);
    await eventually("its crash", () => lambda().starts > 1 && lambda().pid !== first || undefined);
    live.setFaults([]);
    await test.confirmed(1);
  },
);
