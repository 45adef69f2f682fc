// node start.js <port>: serves the simulator on 127.0.0.1 until it is killed.
const simulator = require('telegram-test-api');

const Server = simulator.default || simulator;
new Server({ port: Number(process.argv[2]), host: '127.0.0.1', storeTimeout: 600 }).start();
