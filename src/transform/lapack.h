/*
 * lapack.h
 *		The routines of LAPACK and BLAS that are used, found when they are.
 *
 * The library is opened by its name at the first use and not linked: it is
 * large, only compress(..., 'lowrank') needs it, and the one that systems
 * prefer starts threads while it is loaded, which no backend should have
 * without asking.
 */
#ifndef MODELOPT_LAPACK_H
#define MODELOPT_LAPACK_H

/* As Fortran has them; matrices are in the order of columns. */
typedef struct Lapack
{
	void		(*dsyrk) (const char *uplo, const char *trans, const int *n,
						  const int *k, const double *alpha, const double *a,
						  const int *lda, const double *beta, double *c,
						  const int *ldc);
	void		(*dsyr2k) (const char *uplo, const char *trans, const int *n,
						   const int *k, const double *alpha, const double *a,
						   const int *lda, const double *b, const int *ldb,
						   const double *beta, double *c, const int *ldc);
	void		(*dgemm) (const char *transa, const char *transb, const int *m,
						  const int *n, const int *k, const double *alpha,
						  const double *a, const int *lda, const double *b,
						  const int *ldb, const double *beta, double *c,
						  const int *ldc);
	void		(*dlatrd) (const char *uplo, const int *n, const int *nb,
						   double *a, const int *lda, double *e, double *tau,
						   double *w, const int *ldw);
	void		(*dsytrd) (const char *uplo, const int *n, double *a,
						   const int *lda, double *d, double *e, double *tau,
						   double *work, const int *lwork, int *info);
	void		(*dsterf) (const int *n, double *d, double *e, int *info);
	void		(*dstein) (const int *n, const double *d, const double *e,
						   const int *m, const double *w, const int *iblock,
						   const int *isplit, double *z, const int *ldz,
						   double *work, int *iwork, int *ifail, int *info);
	void		(*dstemr) (const char *jobz, const char *range, const int *n,
						   double *d, double *e, const double *vl,
						   const double *vu, const int *il, const int *iu,
						   int *m, double *w, double *z, const int *ldz,
						   const int *nzc, int *isuppz, int *tryrac,
						   double *work, const int *lwork, int *iwork,
						   const int *liwork, int *info);
	void		(*dormtr) (const char *side, const char *uplo,
						   const char *trans, const int *m, const int *n,
						   const double *a, const int *lda, const double *tau,
						   double *c, const int *ldc, double *work,
						   const int *lwork, int *info);
} Lapack;

/* Raises 58P01 with a hint when there is no LAPACK. */
extern const Lapack *lapack_get(void);

#endif							/* MODELOPT_LAPACK_H */
