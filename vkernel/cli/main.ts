#!/usr/bin/env node
/** The command `vkernel`: its command line is command-line.ts, its exit status that of the process. */
import { runCommandLine } from './command-line.ts';

process.exitCode = await runCommandLine(process.argv.slice(2));
