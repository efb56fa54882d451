// Preloaded into each process of a cluster behind proxies. A connection to a port that CHAOS_DIAL names ({"7410": 35001}) goes to the other
// port instead, where this process's own proxy to that member listens. All processes read the same cluster.json, whose hosts and
// ports are compared in every handshake, so the file cannot say a different address to each; and a gateway's hello does not say which
// gateway it is, so one proxy for all could not tell them apart. Nothing else of the product is touched.
import { Socket } from 'node:net';

/** @type {Readonly<Record<string, number>>} */
const ports = JSON.parse(process.env.CHAOS_DIAL ?? '{}');
// oxlint-disable-next-line typescript/unbound-method -- called with its socket, below
const connect = Socket.prototype.connect;

/** @param {any[]} parameters */
Socket.prototype.connect = function (...parameters) {
  // Node hands its own calls over as one array, whose first element are the options.
  const own = Array.isArray(parameters[0]) ? parameters[0] : parameters;
  const port = ports[own[0]?.port];
  if (port !== undefined) own[0] = { ...own[0], port };
  return connect.apply(this, parameters);
};
