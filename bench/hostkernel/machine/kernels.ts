/**
 * The kernels that the interpreter is measured with, as gcc 12 -O2 compiled them. Functions: arguments in a0.., return
 * through ra.
 */

/** sieve(bytes, n, rounds): the primes below n, counted. a0 = their number. RV64. */
export const SIEVE_64: readonly number[] = [
  0x882a, //   0: c.mv a6,a0
  0x4e01, //   2: c.li t3,0
  0xc631, //   4: c.beqz a2,50
  0xc1b1, //   6: c.beqz a1,4a
  0x00b508b3, //   8: add a7,a0,a1
  0x4305, //   c: c.li t1,1
  0x4e91, //   e: c.li t4,4
  0x87c2, //  10: c.mv a5,a6
  0x00678023, //  12: sb t1,0(a5)
  0x0785, //  16: c.addi a5,1
  0xff179de3, //  18: bne a5,a7,12
  0x02befc63, //  1c: bgeu t4,a1,54
  0x4709, //  20: c.li a4,2
  0x4791, //  22: c.li a5,4
  0xa031, //  24: c.j 30
  0x0705, //  26: c.addi a4,1
  0x02e707b3, //  28: mul a5,a4,a4
  0x02b7f763, //  2c: bgeu a5,a1,5a
  0x00e806b3, //  30: add a3,a6,a4
  0x0006c683, //  34: lbu a3,0(a3)
  0xd6fd, //  38: c.beqz a3,26
  0xfeb7f6e3, //  3a: bgeu a5,a1,26
  0x00f806b3, //  3e: add a3,a6,a5
  0x00068023, //  42: sb zero,0(a3)
  0x97ba, //  46: c.add a5,a4
  0xbfcd, //  48: c.j 3a
  0x0e05, //  4a: c.addi t3,1
  0xffc61fe3, //  4c: bne a2,t3,4a
  0x4501, //  50: c.li a0,0
  0x8082, //  52: c.jr ra
  0x4789, //  54: c.li a5,2
  0x00b7ff63, //  56: bgeu a5,a1,74
  0x00280793, //  5a: addi a5,a6,2
  0x4501, //  5e: c.li a0,0
  0x0007c703, //  60: lbu a4,0(a5)
  0x0785, //  64: c.addi a5,1
  0x953a, //  66: c.add a0,a4
  0xff179ce3, //  68: bne a5,a7,60
  0x0e05, //  6c: c.addi t3,1
  0xfbc611e3, //  6e: bne a2,t3,10
  0x8082, //  72: c.jr ra
  0x0e05, //  74: c.addi t3,1
  0xf8ce1de3, //  76: bne t3,a2,10
  0xbfd9, //  7a: c.j 50
];

/** The same for RV32. */
export const SIEVE_32: readonly number[] = [
  0x882a, //   0: c.mv a6,a0
  0x4e01, //   2: c.li t3,0
  0xc631, //   4: c.beqz a2,50
  0xc1b1, //   6: c.beqz a1,4a
  0x00b508b3, //   8: add a7,a0,a1
  0x4305, //   c: c.li t1,1
  0x4e91, //   e: c.li t4,4
  0x87c2, //  10: c.mv a5,a6
  0x00678023, //  12: sb t1,0(a5)
  0x0785, //  16: c.addi a5,1
  0xff179de3, //  18: bne a5,a7,12
  0x02befc63, //  1c: bgeu t4,a1,54
  0x4709, //  20: c.li a4,2
  0x4791, //  22: c.li a5,4
  0xa031, //  24: c.j 30
  0x0705, //  26: c.addi a4,1
  0x02e707b3, //  28: mul a5,a4,a4
  0x02b7f763, //  2c: bgeu a5,a1,5a
  0x00e806b3, //  30: add a3,a6,a4
  0x0006c683, //  34: lbu a3,0(a3)
  0xd6fd, //  38: c.beqz a3,26
  0xfeb7f6e3, //  3a: bgeu a5,a1,26
  0x00f806b3, //  3e: add a3,a6,a5
  0x00068023, //  42: sb zero,0(a3)
  0x97ba, //  46: c.add a5,a4
  0xbfcd, //  48: c.j 3a
  0x0e05, //  4a: c.addi t3,1
  0xffc61fe3, //  4c: bne a2,t3,4a
  0x4501, //  50: c.li a0,0
  0x8082, //  52: c.jr ra
  0x4789, //  54: c.li a5,2
  0x00b7ff63, //  56: bgeu a5,a1,74
  0x00280793, //  5a: addi a5,a6,2
  0x4501, //  5e: c.li a0,0
  0x0007c703, //  60: lbu a4,0(a5)
  0x0785, //  64: c.addi a5,1
  0x953a, //  66: c.add a0,a4
  0xff179ce3, //  68: bne a5,a7,60
  0x0e05, //  6c: c.addi t3,1
  0xfbc611e3, //  6e: bne a2,t3,10
  0x8082, //  72: c.jr ra
  0x0e05, //  74: c.addi t3,1
  0xf8ce1de3, //  76: bne t3,a2,10
  0xbfd9, //  7a: c.j 50
];

/** mixed(words, n, rounds, factor, hash): xor, shifts, additions, a branch that nobody can predict, a multiplication. RV64. */
export const MIXED_64: readonly number[] = [
  0x8f2a, //   0: c.mv t5,a0
  0x853a, //   2: c.mv a0,a4
  0xce21, //   4: c.beqz a2,5c
  0x4e81, //   6: c.li t4,0
  0xc9a9, //   8: c.beqz a1,5a
  0x887a, //   a: c.mv a6,t5
  0x4881, //   c: c.li a7,0
  0x00083303, //   e: ld t1,0(a6)
  0x00755793, //  12: srli a5,a0,0x7
  0x00351713, //  16: slli a4,a0,0x3
  0x0067c7b3, //  1a: xor a5,a5,t1
  0x973e, //  1e: c.add a4,a5
  0x0017f313, //  20: andi t1,a5,1
  0x00375e13, //  24: srli t3,a4,0x3
  0x03d71793, //  28: slli a5,a4,0x3d
  0x01c7e7b3, //  2c: or a5,a5,t3
  0x00030463, //  30: beq t1,zero,38
  0x411707b3, //  34: sub a5,a4,a7
  0x8d3d, //  38: c.xor a0,a5
  0x02d50533, //  3a: mul a0,a0,a3
  0x00f83023, //  3e: sd a5,0(a6)
  0x0885, //  42: c.addi a7,1
  0x0821, //  44: c.addi a6,8
  0x9fa9, //  46: c.addw a5,a0
  0x1782, //  48: c.slli a5,0x20
  0x9381, //  4a: c.srli a5,0x20
  0x953e, //  4c: c.add a0,a5
  0xfd1590e3, //  4e: bne a1,a7,e
  0x0e85, //  52: c.addi t4,1
  0xfbd61be3, //  54: bne a2,t4,a
  0x8082, //  58: c.jr ra
  0x8082, //  5a: c.jr ra
  0x8082, //  5c: c.jr ra
];

/** The same for RV32, on words of 32 bits. */
export const MIXED_32: readonly number[] = [
  0x8f2a, //   0: c.mv t5,a0
  0x853a, //   2: c.mv a0,a4
  0xca31, //   4: c.beqz a2,58
  0x4e81, //   6: c.li t4,0
  0xc5b9, //   8: c.beqz a1,56
  0x887a, //   a: c.mv a6,t5
  0x4881, //   c: c.li a7,0
  0x00082303, //   e: lw t1,0(a6)
  0x00755713, //  12: srli a4,a0,0x7
  0x00351793, //  16: slli a5,a0,0x3
  0x00674733, //  1a: xor a4,a4,t1
  0x97ba, //  1e: c.add a5,a4
  0x00177313, //  20: andi t1,a4,1
  0x0037de13, //  24: srli t3,a5,0x3
  0x01d79713, //  28: slli a4,a5,0x1d
  0x01c76733, //  2c: or a4,a4,t3
  0x00030463, //  30: beq t1,zero,38
  0x41178733, //  34: sub a4,a5,a7
  0x8d39, //  38: c.xor a0,a4
  0x02d50533, //  3a: mul a0,a0,a3
  0x00e82023, //  3e: sw a4,0(a6)
  0x0885, //  42: c.addi a7,1
  0x0811, //  44: c.addi a6,4
  0x0506, //  46: c.slli a0,0x1
  0x953a, //  48: c.add a0,a4
  0xfd1592e3, //  4a: bne a1,a7,e
  0x0e85, //  4e: c.addi t4,1
  0xfbd61de3, //  50: bne a2,t4,a
  0x8082, //  54: c.jr ra
  0x8082, //  56: c.jr ra
  0x8082, //  58: c.jr ra
];

/** doubles(a, b, n, rounds, seed): a[i] = a[i] * c + b[i] * d, summed up. RV64. */
export const DOUBLES_64: readonly number[] = [
  0x00171793, //   0: slli a5,a4,0x1
  0xd22776d3, //   4: fcvt.d.l fa3,a4
  0xd227f7d3, //   8: fcvt.d.l fa5,a5
  0x1af6f6d3, //   c: fdiv.d fa3,fa3,fa5
  0x12d6f653, //  10: fmul.d fa2,fa3,fa3
  0x02d67653, //  14: fadd.d fa2,fa2,fa3
  0xc2a9, //  18: c.beqz a3,5a
  0x00361813, //  1a: slli a6,a2,0x3
  0xf2000553, //  1e: fmv.d.x fa0,zero
  0x982a, //  22: c.add a6,a0
  0x4881, //  24: c.li a7,0
  0xc61d, //  26: c.beqz a2,54
  0x872e, //  28: c.mv a4,a1
  0x87aa, //  2a: c.mv a5,a0
  0x239c, //  2c: c.fld fa5,0(a5)
  0x2318, //  2e: c.fld fa4,0(a4)
  0x07a1, //  30: c.addi a5,8
  0x12f6f7d3, //  32: fmul.d fa5,fa3,fa5
  0x12e67753, //  36: fmul.d fa4,fa2,fa4
  0x0721, //  3a: c.addi a4,8
  0x02e7f7d3, //  3c: fadd.d fa5,fa5,fa4
  0xfef7bc27, //  40: fsd fa5,-8(a5)
  0x02f57553, //  44: fadd.d fa0,fa0,fa5
  0xff0792e3, //  48: bne a5,a6,2c
  0x0885, //  4c: c.addi a7,1
  0xfd169de3, //  4e: bne a3,a7,28
  0x8082, //  52: c.jr ra
  0x0885, //  54: c.addi a7,1
  0xff169fe3, //  56: bne a3,a7,54
  0xf2000553, //  5a: fmv.d.x fa0,zero
  0x8082, //  5e: c.jr ra
];
