/*
 * prison.c
 *		Locks the runner in.
 *
 * It is the server's user and could read its files, so what a model that has
 * taken it over could do is what system calls are left: to compute, to use
 * memory up to a limit, and to talk through what is open.  All others fail
 * rather than kill, because the runtime asks for things (its processor's
 * files, say) that it can do without.
 */
#define _GNU_SOURCE

#include "serve/runner/prison.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "serve/exchange.h"

void
prison_follow(pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(0);
}

static bool
limit(int resource, uint64_t value)
{
	struct rlimit limits = {value, value};

	return setrlimit(resource, &limits) == 0;
}

/* The kernel looks for somebody to kill when memory ends: us, not the server. */
static void
volunteer_for_oom(void)
{
	int			file = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (file < 0)
		return;
	(void) !write(file, "1000", 4);
	close(file);
}

/* Closes what the server had open; older systems have no call for all of it. */
static void
close_others(void)
{
	long		most = sysconf(_SC_OPEN_MAX);

#ifdef SYS_close_range
	if (syscall(SYS_close_range, RUNNER_MEMORY + 1, ~0U, 0) == 0)
		return;
#endif
	for (long file = RUNNER_MEMORY + 1; file < most; file++)
		close(file);
}

bool
prison_limit(uint64_t memory)
{
	volunteer_for_oom();
	close_others();
	if (chdir("/") != 0)
		return false;
	return limit(RLIMIT_DATA, memory) && limit(RLIMIT_CORE, 0) &&
		limit(RLIMIT_FSIZE, 0) && limit(RLIMIT_MEMLOCK, 0) &&
		prctl(PR_SET_DUMPABLE, 0) == 0 &&
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
}

static bool
allow_calls(scmp_filter_ctx filter)
{
	static const int calls[] = {
		/* memory */
		SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(brk), SCMP_SYS(madvise),
		/* what is open */
		SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(close), SCMP_SYS(fstat),
		SCMP_SYS(lseek), SCMP_SYS(recvmsg), SCMP_SYS(sendto),
		/* threads and time */
		SCMP_SYS(futex), SCMP_SYS(sched_yield), SCMP_SYS(sched_getaffinity),
		SCMP_SYS(nanosleep), SCMP_SYS(clock_nanosleep),
		SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday),
		SCMP_SYS(set_robust_list), SCMP_SYS(rseq), SCMP_SYS(getcpu),
		SCMP_SYS(gettid), SCMP_SYS(getpid), SCMP_SYS(set_tid_address),
		/* the end */
		SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask),
		SCMP_SYS(rt_sigreturn), SCMP_SYS(restart_syscall), SCMP_SYS(exit),
		SCMP_SYS(exit_group),
		/* what makes hash tables unguessable, and how large things are */
		SCMP_SYS(getrandom), SCMP_SYS(sysinfo), SCMP_SYS(uname),
		SCMP_SYS(getrusage),
	};

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0) != 0)
			return false;

	/* Memory, but none that could be run, and none that the limit does not
	 * count: what is shared, and stacks that grow. */
	if (seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2,
						 SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0),
						 SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_TYPE | MAP_GROWSDOWN, MAP_PRIVATE)) != 0 ||
		seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
						 SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)) != 0)
		return false;

	/* Limits of its own, not of another process. */
	if (seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 1,
						 SCMP_A0(SCMP_CMP_EQ, 0)) != 0)
		return false;

	/* Threads but no processes; a call whose flags are out of sight does not
	 * exist, and the C library then takes the other one. */
	if (seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
						 SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD)) != 0 ||
		seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0) != 0)
		return false;

	/* abort() signals its own thread. */
	return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
							SCMP_A0(SCMP_CMP_EQ, getpid())) == 0;
}

bool
prison_close(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	bool		good;

	if (filter == NULL)
		return false;
	good = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1) == 0 &&
		allow_calls(filter) && seccomp_load(filter) == 0;
	seccomp_release(filter);
	return good;
}
