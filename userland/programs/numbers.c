/*
 * Arithmetic as libraries use it: the mathematical functions at random points, rounding modes and flags, quadruple
 * precision in software, printing and reading numbers, 64-bit division and atomics. Prints a digest for each; the output
 * is the same on every machine, whatever the word size.
 */
#include <fenv.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POINTS 1000

static uint64_t state = 88172645463325252u, digest;

static uint64_t random64(void) {
  state ^= state << 13;
  state ^= state >> 7;
  return state ^= state << 17;
}

static void mix(const void *bytes, size_t size) {
  const unsigned char *at = bytes;
  while (size-- > 0) digest = (digest ^ *at++) * 1099511628211u;
}

static void mixDouble(double value) {
  if (isnan(value)) value = NAN;
  mix(&value, sizeof value);
}
static void mixFloat(float value) {
  if (isnan(value)) value = NAN;
  mix(&value, sizeof value);
}
static void mixQuad(long double value) {
  if (isnan(value)) mix("n", 1);
  else mix(&value, sizeof value);
}

/* Any bits at all, or a value within 1, 10 or 1000 of zero. */
static double anyDouble(int i) {
  uint64_t bits = random64();
  double value = (double)(int32_t)(bits >> 32) * 0x1p-31 + (double)(uint32_t)bits * 0x1p-63;
  if (i % 4 == 0) memcpy(&value, &bits, sizeof value);
  return i % 4 == 1 ? value * 10 : i % 4 == 3 ? value * 1000 : value;
}
static float anyFloat(int i) {
  uint32_t bits = (uint32_t)(random64() >> 32);
  float value = (float)anyDouble(1);
  if (i % 4 == 0) memcpy(&value, &bits, sizeof value);
  return value;
}

static void begin(void) {
  digest = 14695981039346656037u;
  feclearexcept(FE_ALL_EXCEPT);
}
static void end(const char *name) {
  printf("%-10s %016llx flags %02x\n", name, (unsigned long long)digest, fetestexcept(FE_ALL_EXCEPT));
}

#define ONE(name) {#name, name, name##f, 0, 0}
#define TWO(name) {#name, 0, 0, name, name##f}
static const struct {
  const char *name;
  double (*one)(double);
  float (*oneFloat)(float);
  double (*two)(double, double);
  float (*twoFloat)(float, float);
} functions[] = {
  ONE(sin), ONE(cos), ONE(tan), ONE(asin), ONE(acos), ONE(atan), ONE(sinh), ONE(cosh), ONE(tanh), ONE(asinh), ONE(acosh),
  ONE(atanh), ONE(exp), ONE(exp2), ONE(expm1), ONE(log), ONE(log2), ONE(log10), ONE(log1p), ONE(sqrt), ONE(cbrt), ONE(erf),
  ONE(erfc), ONE(tgamma), ONE(lgamma), ONE(ceil), ONE(floor), ONE(trunc), ONE(round), ONE(rint), ONE(nearbyint), ONE(logb),
  TWO(pow), TWO(atan2), TWO(hypot), TWO(fmod), TWO(remainder), TWO(fdim), TWO(fmax), TWO(fmin), TWO(nextafter),
};

static void library(void) {
  for (size_t f = 0; f < sizeof functions / sizeof *functions; f++) {
    begin();
    for (int i = 0; i < POINTS; i++) {
      double a = anyDouble(i), b = anyDouble(i / 4);
      float c = anyFloat(i), d = anyFloat(i / 4);
      mixDouble(functions[f].one != 0 ? functions[f].one(a) : functions[f].two(a, b));
      mixFloat(functions[f].one != 0 ? functions[f].oneFloat(c) : functions[f].twoFloat(c, d));
    }
    end(functions[f].name);
  }
}

static void arithmetic(void) {
  static const struct { const char *name; int mode; } modes[] = {
    {"nearest", FE_TONEAREST}, {"to zero", FE_TOWARDZERO}, {"down", FE_DOWNWARD}, {"up", FE_UPWARD}};
  for (int m = 0; m < 4; m++) {
    fesetround(modes[m].mode);
    begin();
    for (int i = 0; i < POINTS; i++) {
      volatile double a = anyDouble(i), b = anyDouble(i + 3), c = anyDouble(i / 2);
      volatile float x = anyFloat(i), y = anyFloat(i + 1), z = anyFloat(i / 3);
      double results[] = {a + b, a - b, a * b, a / b, sqrt(fabs(a)), fma(a, b, c), (double)(int32_t)random64(), (double)x};
      float singles[] = {x + y, x - y, x * y, x / y, sqrtf(fabsf(x)), fmaf(x, y, z), (float)a, (float)(int32_t)random64()};
      for (int k = 0; k < 8; k++) mixDouble(results[k]), mixFloat(singles[k]);
      volatile int64_t whole = (int64_t)fmod(a, 1e18);
      volatile int32_t small = (int32_t)fmod(b, 1e9);
      int order = (a < b) | (a <= b) << 1 | (a == b) << 2 | (x < y) << 3;
      mix((void *)&whole, 8), mix((void *)&small, 4), mix(&order, sizeof order);
    }
    end(modes[m].name);
  }
  fesetround(FE_TONEAREST);
  begin();
  for (int i = 0; i < POINTS; i++) {
    volatile long double a = (long double)anyDouble(i) * 3.1L, b = (long double)anyDouble(i + 1) / 7;
    mixQuad(a + b), mixQuad(a - b), mixQuad(a * b), mixQuad(a / b), mixDouble((double)a);
    if (i % 10 == 0) mixQuad(sqrtl(fabsl(a))), mixQuad(expl(fmodl(b, 100)));
  }
  end("quad");
}

static void printing(void) {
  static char text[6000];
  int wrong = 0;
  begin();
  for (int i = 0; i < POINTS; i++) {
    double a = anyDouble(i);
    mix(text, (size_t)snprintf(text, sizeof text, "%g %.17g %e %a %.3f %.20Lg", a, a, a, a, fmod(a, 1e15), (long double)a / 3));
    snprintf(text, sizeof text, "%.17g", a);
    wrong += a == a && strtod(text, 0) != a;
    snprintf(text, sizeof text, "%a", a);
    wrong += a == a && strtod(text, 0) != a;
  }
  end("printing");
  printf("wrong after printing and reading: %d\n", wrong);
  printf("%.0f %.0f %.0f %g %g %g %.1074g\n", 0.5, 1.5, 2.5, INFINITY, -INFINITY, NAN, 4.9406564584124654e-324);
  printf("%g %a %.36Lg\n", strtod("1e400", 0), strtod("0x1.8p-1080", 0), 1.0L / 3);
}

static void integers(void) {
  static int32_t word;
  static uint64_t sum;
  begin();
  for (int i = 0; i < POINTS; i++) {
    volatile int64_t a = (int64_t)(random64() >> i % 64), b = (int64_t)(random64() >> i * 7 % 64) | 1;
    int64_t results[] = {a / b, a % b, (int64_t)((uint64_t)a / (uint64_t)b), (int64_t)((uint64_t)a % (uint64_t)b), (int32_t)a / ((int32_t)b | 1),
                         a * b, a << (b & 63), a >> (b & 63), __builtin_clzll((uint64_t)a | 1), __builtin_popcountll((uint64_t)b)};
    mix(results, sizeof results);
    __atomic_fetch_add(&word, i, __ATOMIC_SEQ_CST);
    __atomic_fetch_xor(&word, i * 77, __ATOMIC_SEQ_CST);
    int32_t old = word;
    sum += (uint64_t)__atomic_compare_exchange_n(&word, &old, word ^ 5, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    sum += (uint32_t)__atomic_exchange_n(&word, word + 1, __ATOMIC_SEQ_CST);
  }
  end("integers");
  printf("atomics %d %llu\n", word, (unsigned long long)sum);
}

int main(void) {
  library();
  arithmetic();
  printing();
  integers();
  return 0;
}
