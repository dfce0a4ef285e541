/*
 * A matrix and floating-point kernel with known answers: the determinant and inverse of a Hilbert matrix in double
 * precision, a fused dot product, single-precision sums in two orders. Bits are printed, so any error shows.
 */
#include <fenv.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define N 8

static uint64_t bits(double value) {
  uint64_t word;
  memcpy(&word, &value, sizeof word);
  return word;
}

/* Gauss-Jordan with partial pivoting: a becomes the identity, inverse the inverse. Returns the determinant. */
static double invert(double a[N][N], double inverse[N][N]) {
  double determinant = 1;
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) inverse[i][j] = i == j;
  for (int column = 0; column < N; column++) {
    int pivot = column;
    for (int i = column + 1; i < N; i++)
      if (fabs(a[i][column]) > fabs(a[pivot][column])) pivot = i;
    if (pivot != column) {
      determinant = -determinant;
      for (int j = 0; j < N; j++) {
        double t = a[column][j];
        a[column][j] = a[pivot][j];
        a[pivot][j] = t;
        t = inverse[column][j];
        inverse[column][j] = inverse[pivot][j];
        inverse[pivot][j] = t;
      }
    }
    double scale = a[column][column];
    determinant *= scale;
    for (int j = 0; j < N; j++) {
      a[column][j] /= scale;
      inverse[column][j] /= scale;
    }
    for (int i = 0; i < N; i++) {
      if (i == column) continue;
      double factor = a[i][column];
      for (int j = 0; j < N; j++) {
        a[i][j] = fma(-factor, a[column][j], a[i][j]);
        inverse[i][j] = fma(-factor, inverse[column][j], inverse[i][j]);
      }
    }
  }
  return determinant;
}

int main(void) {
  double hilbert[N][N], work[N][N], inverse[N][N];
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) hilbert[i][j] = work[i][j] = 1.0 / (i + j + 1);
  double determinant = invert(work, inverse);
  double worst = 0;
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) {
      double sum = 0;
      for (int k = 0; k < N; k++) sum = fma(hilbert[i][k], inverse[k][j], sum);
      worst = fmax(worst, fabs(sum - (i == j)));
    }
  printf("determinant of Hilbert(8): %.6e (%016llx)\n", determinant, (unsigned long long)bits(determinant));
  printf("corner of the inverse: %.3f\n", inverse[0][0]);
  printf("largest residual below 1e-5: %s\n", worst < 1e-5 ? "yes" : "no");

  float up = 0, down = 0;
  for (int i = 1; i <= 100000; i++) up += 1.0f / (float)i;
  for (int i = 100000; i >= 1; i--) down += 1.0f / (float)i;
  printf("harmonic sum in single precision: %.7f upwards, %.7f downwards\n", up, down);

  volatile double third = 3, one = 1;
  fesetround(FE_UPWARD);
  double above = one / third;
  fesetround(FE_DOWNWARD);
  double below = one / third;
  fesetround(FE_TONEAREST);
  printf("1/3 rounded up and down: %016llx %016llx\n", (unsigned long long)bits(above), (unsigned long long)bits(below));
  feclearexcept(FE_ALL_EXCEPT);
  volatile double zero = 0, infinite = one / zero;
  printf("divide by zero raised: %s, sqrt(2) %016llx\n", fetestexcept(FE_DIVBYZERO) ? "yes" : "no",
         (unsigned long long)bits(sqrt(2)));
  return isinf(infinite) ? 0 : 1;
}
