/** The methods by name. */
import type { MethodName } from '../job.ts';
import type { MethodFactory } from './method.ts';
import { native } from './native.ts';
import { nested } from './nested.ts';

export const GUEST_METHODS: Readonly<Partial<Record<MethodName, MethodFactory>>> = { native, nested };
