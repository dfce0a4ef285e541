/** The methods by name. */
import type { MethodName } from '../job.ts';
import { agile } from './agile.ts';
import type { MethodFactory } from './method.ts';
import { native } from './native.ts';
import { nested } from './nested.ts';
import { shadow } from './shadow.ts';
import { vpagetable } from './vpagetable.ts';

export const GUEST_METHODS: Readonly<Record<MethodName, MethodFactory>> = { native, nested, shadow, vpagetable, agile };
