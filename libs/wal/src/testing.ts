export { SimulatedDisk } from './simulated-disk.js';
export type {
  CrashChoice,
  CrashOutcomes,
  SimulatedDiskOptions,
  SimulatedFileInfo,
  WriteFault,
} from './simulated-disk.js';
