export { SimulatedDisk } from './simulated-disk.js';
export type { SimulatedDiskOptions, SimulatedFileInfo, WriteFault } from './simulated-disk.js';
