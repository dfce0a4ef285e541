/**
 * IEEE-754 binary32 and binary64 as a RISC-V hart computes them: results and flags exact in all rounding modes.
 *
 * A caller sets `state.rounding`, calls one routine, and finds 64-bit results in `result` ([low, high]) and 32-bit ones
 * returned; flags accrue in `state.flags`. All halves and bits are int32 (as read from an Int32Array): a u32 is not accepted.
 */

export { f32Classify, f32Eq, f32Le, f32Lt, f32Max, f32Min, f64Classify, f64Eq, f64Le, f64Lt, f64Max, f64Min } from './compare.ts';
export {
  f32FromF64,
  f32FromI32,
  f32FromI64,
  f32FromU32,
  f32FromU64,
  f32ToI32,
  f32ToI64,
  f32ToU32,
  f32ToU64,
  f64FromF32,
  f64FromI32,
  f64FromI64,
  f64FromU32,
  f64FromU64,
  f64ToI32,
  f64ToI64,
  f64ToU32,
  f64ToU64,
} from './convert.ts';
export { f32Add, f32Div, f32Madd, f32Msub, f32Mul, f32Nmadd, f32Nmsub, f32Sqrt, f32Sub } from './f32.ts';
export { f64Add, f64Div, f64Madd, f64Msub, f64Mul, f64Nmadd, f64Nmsub, f64Sqrt, f64Sub } from './f64.ts';
export { f64AddNative, f64DivNative, f64FmaNative, f64MulNative, f64SqrtNative, f64SubNative } from './f64-native.ts';
export { DZ, NV, NX, OF, RDN, RMM, RNE, RTZ, RUP, result, state, UF } from './state.ts';
