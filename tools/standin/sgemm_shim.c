/* BLAS sgemm/sgemv on top of oneDNN, for machines where PyTorch is linked with
 * the slow reference BLAS (plain Debian: "BLAS_INFO=generic").  Only speed
 * depends on it; training works without.
 *
 *   gcc -O2 -shared -fPIC sgemm_shim.c -o shim.so -l:libdnnl.so.2
 *   LD_PRELOAD=./shim.so python3 train.py ...
 */
extern int dnnl_sgemm(char transa, char transb, long M, long N, long K,
                      float alpha, const float *A, long lda, const float *B,
                      long ldb, float beta, float *C, long ldc);

static char flag(const char *t)
{
    return (*t == 'N' || *t == 'n') ? 'N' : 'T';
}

/* Column-major C = A B is row-major C^T = B^T A^T: swap the operands. */
void sgemm_(const char *ta, const char *tb, const int *m, const int *n,
            const int *k, const float *alpha, const float *a, const int *lda,
            const float *b, const int *ldb, const float *beta, float *c,
            const int *ldc)
{
    dnnl_sgemm(flag(tb), flag(ta), *n, *m, *k, *alpha, b, *ldb, a, *lda, *beta,
               c, *ldc);
}
