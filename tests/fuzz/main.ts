/** The command `npm run fuzz -- NAME`, a process of its own: command.ts. */
import { fuzz } from './command.ts';

process.exitCode = fuzz(process.argv.slice(2));
