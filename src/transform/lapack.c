/*
 * lapack.c
 *		Finds LAPACK: lapack.h says why it is not linked.
 */
#include "postgres.h"

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>

#include "transform/lapack.h"

#define LIBRARY "liblapack.so.3"
#define THREADS "OPENBLAS_NUM_THREADS"

/*
 * OpenBLAS starts its threads when it is loaded, as many as this variable says;
 * and should another library start some all the same, they are not to take the
 * backend's signals.
 */
static void *
open_library(void)
{
	char	   *before = getenv(THREADS) == NULL ? NULL : pstrdup(getenv(THREADS));
	sigset_t	all;
	sigset_t	old;
	void	   *library;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	setenv(THREADS, "1", 1);
	library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	if (before == NULL)
		unsetenv(THREADS);
	else
		setenv(THREADS, before, 1);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (library == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FILE),
				 errmsg("could not load LAPACK"),
				 errdetail_internal("%s", dlerror()),
				 errhint("On Debian and Ubuntu it is in the package libopenblas0 or liblapack3.")));
	return library;
}

static void
find(void *library, const char *name, void *routine)
{
	void	   *found = dlsym(library, name);

	if (found == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("LAPACK has no routine \"%s\"", name)));
	memcpy(routine, &found, sizeof(found));
}

const Lapack *
lapack_get(void)
{
	static Lapack lapack;
	static bool complete = false;
	void	   *library;

	if (complete)
		return &lapack;
	library = open_library();
	find(library, "dsyrk_", &lapack.dsyrk);
	find(library, "dsyr2k_", &lapack.dsyr2k);
	find(library, "dgemm_", &lapack.dgemm);
	find(library, "dlatrd_", &lapack.dlatrd);
	find(library, "dsytrd_", &lapack.dsytrd);
	find(library, "dsterf_", &lapack.dsterf);
	find(library, "dstein_", &lapack.dstein);
	find(library, "dstemr_", &lapack.dstemr);
	find(library, "dormtr_", &lapack.dormtr);
	complete = true;
	return &lapack;
}
