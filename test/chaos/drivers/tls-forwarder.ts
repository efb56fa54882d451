import { type AddressInfo, type Server, type Socket, createServer, isIP } from 'node:net';
import { connect, type ConnectionOptions } from 'node:tls';

const HOST = '127.0.0.1';

/** Plain connections on a port of this machine, each passed on over TLS: for clients that speak plain HTTP to a gateway that does not. */
export class TlsForwarder {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(target: ConnectionOptions) {
    this.#server = createServer({ noDelay: true }, (near) => {
      const far = connect(target);
      far.setNoDelay(true);
      for (const [socket, other] of [
        [near, far],
        [far, near],
      ] as const) {
        this.#sockets.add(socket);
        socket.pipe(other);
        // A certificate that is refused looks like a connection that breaks: nothing was sent.
        socket.on('error', () => other.destroy());
        socket.on('close', () => {
          this.#sockets.delete(socket);
          other.destroy();
        });
      }
    });
  }

  /** `ca`: whom to trust besides those whom Node trusts; its text, as PEM. */
  static async start(host: string, port: number, ca: string | null): Promise<TlsForwarder> {
    const forwarder = new TlsForwarder({
      host,
      port,
      // An address is no name: the certificate is then compared with the address itself.
      ...(isIP(host) === 0 ? { servername: host } : {}),
      ...(ca === null ? {} : { ca }),
    });
    await new Promise<void>((resolve, reject) => {
      forwarder.#server.once('error', reject);
      forwarder.#server.listen(0, HOST, resolve);
    });
    return forwarder;
  }

  get address(): { readonly host: string; readonly port: number } {
    return { host: HOST, port: (this.#server.address() as AddressInfo).port };
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
