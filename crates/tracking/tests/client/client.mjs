// A real Socket.IO client for the tests: prints every event as one line of JSON, and does what lines on its input say.
//   node client.mjs ADDRESS OPTIONS
// Lines in: {"emit":"subscribe:vehicle:v-1","data":{…}} or {"close":true}; with "callback":true what the callback gets is
// printed as the event "#callback".
import { createInterface } from "node:readline";
import { io } from "socket.io-client";

const [address, options] = process.argv.slice(2);
const say = (event, data) => process.stdout.write(JSON.stringify({ event, data: data ?? null }) + "\n");
const socket = io(address, { reconnection: false, ...JSON.parse(options) });

socket.on("connect", () => say("#connect", socket.io.engine.transport.name));
socket.on("connect_error", (error) => say("#connect_error", error.message));
socket.on("disconnect", (reason) => say("#disconnect", reason));
socket.onAny((event, data) => say(event, data));

createInterface({ input: process.stdin }).on("line", (line) => {
  const { emit, data, callback, close } = JSON.parse(line);
  if (close) return socket.disconnect();
  const more = data === undefined || data === null ? [] : [data];
  if (callback) more.push((answer) => say("#callback", answer));
  socket.emit(emit, ...more);
}).on("close", () => process.exit(0));
