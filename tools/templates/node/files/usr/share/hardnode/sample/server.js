const http = require("http"), os = require("os");
const server = http.createServer((q, a) => a.end(`Node.js ${process.version} on ${os.hostname()}\n`)).listen(process.env.PORT, "::");
process.on("SIGTERM", () => { server.close(() => process.exit(0)); server.closeIdleConnections(); });
