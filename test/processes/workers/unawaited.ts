// Waits for what never comes, in a function that nobody awaits: the process ends all the same.

import { DescriptorSocket } from "../../../mod.ts";
import { optionsOf } from "./worker.ts";

const { address } = optionsOf<{ address: string }>();
const listener = DescriptorSocket.listen(`${address}-2`);
const socket = await DescriptorSocket.connect(`${address}-2`);
listener.accept();
socket.receive();
DescriptorSocket.connect(`${address}-3`, { timeout: Infinity });
