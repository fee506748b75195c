/*
 * escape.c
 *		What a model that has taken the runner over might try: each as what came
 *		of it, what should come of it, and what it was.
 */
#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "serve/runner/prison.h"

#define MEMORY ((size_t) 256 << 20)

static void
tell(bool works, bool should, const char *what)
{
	printf("%s\t%s\t%s\n", works ? "works" : "fails", should ? "works" : "fails", what);
}

static bool
maps(int protection, int flags, size_t size)
{
	return mmap(NULL, size, protection, flags | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) != MAP_FAILED;
}

static void *
nothing(void *unused __attribute__((unused)))
{
	return NULL;
}

static bool
starts_thread(void)
{
	pthread_t	thread;

	return pthread_create(&thread, NULL, nothing, NULL) == 0 && pthread_join(thread, NULL) == 0;
}

static bool
forks(void)
{
	pid_t		child = syscall(SYS_clone, 17, NULL, NULL, NULL, NULL);

	if (child == 0)
		_exit(0);
	return child > 0;
}

int
main(void)
{
	int			both = PROT_READ | PROT_WRITE;
	struct rlimit more = {RLIM_INFINITY, RLIM_INFINITY};

	int			left_open = dup2(open("/etc/passwd", O_RDONLY), 20);

	if (!prison_limit(MEMORY) || !prison_close())
		return 1;
	tell(lseek(left_open, 0, SEEK_SET) == 0, false, "a file that was left open");
	tell(maps(both, MAP_PRIVATE, 1 << 20), true, "memory within the limit");
	tell(maps(both, MAP_PRIVATE, 2 * MEMORY), false, "memory beyond the limit");
	tell(maps(both, MAP_SHARED, 2 * MEMORY), false, "memory that would be shared");
	tell(maps(both, MAP_SHARED_VALIDATE, 2 * MEMORY), false, "the same by its newer name");
	tell(maps(both, MAP_PRIVATE | MAP_GROWSDOWN, 2 * MEMORY), false, "memory as a stack");
	tell(maps(PROT_READ | PROT_EXEC, MAP_PRIVATE, 4096), false, "memory to run");
	tell(syscall(SYS_memfd_create, "x", 0) >= 0, false, "a file in memory");
	tell(open("/etc/passwd", O_RDONLY) >= 0, false, "a file to read");
	tell(syscall(SYS_openat2, AT_FDCWD, "/etc/passwd", NULL, 0) >= 0, false, "the same by its newer name");
	tell(open("/tmp/escaped", O_WRONLY | O_CREAT, 0600) >= 0, false, "a file to write");
	tell(socket(AF_INET, SOCK_STREAM, 0) >= 0, false, "a connection");
	tell(socket(AF_UNIX, SOCK_STREAM, 0) >= 0, false, "a local one");
	tell(syscall(SYS_io_uring_setup, 1, NULL) >= 0, false, "a ring of system calls");
	tell(forks(), false, "another process");
	tell(execl("/bin/true", "true", NULL) >= 0, false, "another program");
	tell(kill(getppid(), 0) == 0, false, "a signal to the backend");
	tell(syscall(SYS_tgkill, getppid(), getppid(), 0) == 0, false, "a signal to its thread");
	tell(ptrace(PTRACE_ATTACH, getppid(), NULL, NULL) == 0, false, "a look into the backend");
	tell(setrlimit(RLIMIT_DATA, &more) == 0, false, "a higher limit");
	tell(starts_thread(), true, "a thread");
	return 0;
}
