// Counts visits in a file, and says what it believes of its machine.
const fs = require('fs'), http = require('http'), os = require('os');
const file = '/data/visits';
const server = http.createServer((req, res) => {
  let n = 0;
  try { n = Number(fs.readFileSync(file, 'utf8')); } catch (e) { if (e.code !== 'ENOENT') throw e; }
  if (req.url === '/visit') fs.writeFileSync(file, String(++n));
  res.setHeader('content-type', 'application/json');
  res.end(JSON.stringify({ visits: n, cpus: os.cpus().length, limit: Number(fs.readFileSync('/sys/fs/cgroup/memory.max', 'utf8')) }));
});
server.listen(8080, () => console.log('ready, node', process.version));
process.on('SIGTERM', () => { console.error('asked to end'); server.close(() => { console.log('ended in order'); process.exit(0); }); server.closeAllConnections?.(); });
