import { type Product, titleOf } from './products.js';

/** Where a suite says how it goes. */
export interface Listener {
  /** Progress. */
  readonly tell: (line: string) => void;
  /** What is missing in the report, and why. */
  readonly fail: (what: string) => void;
}

/** Each repetition gives every product its turn. One that fails gets no other, and the rest go on. */
export async function inTurns(
  products: readonly Product[],
  repetitions: number,
  listener: Listener,
  turn: (product: Product, repetition: number) => Promise<void>,
): Promise<void> {
  const failed = new Set<Product>();
  for (let repetition = 1; repetition <= repetitions; repetition += 1) {
    for (const product of products) {
      if (failed.has(product)) continue;
      try {
        await turn(product, repetition);
      } catch (error) {
        failed.add(product);
        listener.tell(error instanceof Error ? (error.stack ?? error.message) : String(error));
        listener.fail(`${titleOf(product)}: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
  }
}
