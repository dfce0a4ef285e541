/** Trace events on standard error: one readable line each, or one JSON object a line. */
import type { TraceEvents, TraceKind, Tracer } from '../../hostkernel/base/trace.ts';
import { errnoName } from '../../hostkernel/base/errno.ts';
import type { MachineOptions } from './options.ts';
import { physmemLine, physmemRequest } from './physmem-trace.ts';
import { TERMINAL } from './terminal.ts';
import { thread } from './thread-text.ts';

const hex = (value: number): string => `0x${value.toString(16)}`;
const prot = (access: number): string =>
  `${(access & 1) !== 0 ? 'r' : '-'}${(access & 2) !== 0 ? 'w' : '-'}${(access & 4) !== 0 ? 'x' : '-'}`;
const l4Rights = (rights: number): string =>
  `${(rights & 4) !== 0 ? 'r' : '-'}${(rights & 2) !== 0 ? 'w' : '-'}${(rights & 1) !== 0 ? 'x' : '-'}`;

const TEXT: { readonly [K in TraceKind]: (event: TraceEvents[K]) => string } = {
  fault: (e) => `${e.layer} space ${e.space} ${prot(e.access)} ${hex(e.va)} pc ${hex(e.pc)}: ${e.result}`,
  walk: (e) =>
    `space ${e.space} ${prot(e.access)} ${hex(e.va)}: ${e.references} references, ${e.result === 'none' ? 'mapped' : e.result} at level ${e.level}`,
  map: (e) => `space ${e.space} ${hex(e.va)} -> frame ${e.frame}, ${e.pages} pages, ${l4Rights(e.rights)}`,
  unmap: (e) => `space ${e.space} ${hex(e.va)} -> frame ${e.frame}, ${e.pages} pages, ${l4Rights(e.rights)}`,
  ipc: (e) => `${thread(e.from)} -> ${thread(e.to)} label ${e.label}, ${e.untyped} + ${e.typed} words`,
  rpc: (e) => `${thread(e.client)} ${e.server}.${e.method}(${e.args.map(hex).join(', ')}) = ${e.errno === 0 ? 0 : errnoName(e.errno)}`,
  syscall: (e) => `${e.process} ${e.name}(${e.args.map(hex).join(', ')}) = ${e.result < 0 ? `-${errnoName(-e.result)}` : hex(e.result)}`,
  switch: (e) => `${thread(e.from)} -> ${thread(e.to)}`,
};

/** Turns on the events the user asked for. */
export function listen(tracer: Tracer, options: MachineOptions): void {
  const encoder = new TextEncoder();
  const say = (line: string): void => TERMINAL.write(2, encoder.encode(`${line}\n`));
  const sinks = new Map<TraceKind, (event: object) => void>();
  for (const name of options.trace) {
    const kind: TraceKind = name === 'physmem' ? 'rpc' : name;
    const before = sinks.get(kind);
    const sink = name === 'physmem' ? physmemSink(options.json, say) : plainSink(kind, options.json, say);
    sinks.set(
      kind,
      before === undefined
        ? sink
        : (event) => {
            before(event);
            sink(event);
          },
    );
  }
  for (const [kind, sink] of sinks) Object.assign(tracer, { [kind]: sink });
}

type Say = (line: string) => void;

function plainSink(kind: TraceKind, json: boolean, say: Say): (event: object) => void {
  const text = TEXT[kind] as (event: object) => string; // the event of this kind
  return (event) => say(json ? JSON.stringify({ kind, ...event }) : `${kind.padEnd(7)} ${text(event)}`);
}

function physmemSink(json: boolean, say: Say): (event: object) => void {
  return (event) => {
    const request = event as TraceEvents['rpc']; // the events of this kind
    if (request.server !== 'physmem') return;
    say(json ? JSON.stringify({ kind: 'physmem', ...physmemRequest(request) }) : `physmem ${physmemLine(request)}`);
  };
}
