/*
 * runner_engine.c
 *		The runner, as its backend sees it.
 *
 * Owns the process, the socket and the memory shared with it (exchange.h).
 * The runner is started when a model is to be loaded and none runs, and lives
 * as long as the backend, unless a model ends it.  Waiting for it can be
 * cancelled at any time: the runtime is asked to stop, and what does not stop
 * soon is killed, with all that was loaded.
 */
#include "postgres.h"

#include "compat.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/futex.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "miscadmin.h"
#include "pgstat.h"
#include "port/pg_bitutils.h"
#include "serve/engine.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

/* File descriptors that a runner takes here, the memory and the socket; the set
 * of events counts its own. */
#define RUNNER_FILES	2

/* How long a run that was asked to stop may take for it. */
#define STOP_MS			150

static struct
{
	pid_t		pid;			/* 0 when there is none */
	int			files;			/* that the server counts */
	int			socket;
	int			memory;
	Exchange   *exchange;
	WaitEventSet *events;
	unsigned	request;
	bool		spins;
	uint64		limit;			/* bytes that the outputs of this run may have */
	uint64		outputs;		/* and had at most, since they were trimmed */
	char	   *runtime;		/* what it was started with */
	int			memory_limit;
}			runner = {.socket = -1,.memory = -1};

/* ---------- the end of a runner ---------- */

/* Lets go of it, of whatever there is when it is not there yet or no more;
 * returns how it ended, as waitpid tells. */
static int
end_runner(void)
{
	int			status = 0;

	if (runner.pid != 0)
	{
		kill(runner.pid, SIGKILL);
		while (waitpid(runner.pid, &status, 0) < 0 && errno == EINTR)
			;
	}
	runner.pid = 0;
	if (runner.events != NULL)
		FreeWaitEventSet(runner.events);
	runner.events = NULL;
	if (runner.exchange != NULL)
		munmap(runner.exchange, EXCHANGE_SIZE);
	runner.exchange = NULL;
	if (runner.socket >= 0)
		close(runner.socket);
	if (runner.memory >= 0)
		close(runner.memory);
	runner.socket = runner.memory = -1;
	while (runner.files > 0)
	{
		ReleaseExternalFD();
		runner.files--;
	}
	return status;
}

static void
end_runner_at_exit(int code, Datum argument)
{
	if (runner.pid != 0)
		kill(runner.pid, SIGKILL);
}

/* The runner is gone, though nobody asked it to. */
pg_noreturn static void
runner_died(void)
{
	int			status;

	/* It has closed its socket, and so ends or has ended. */
	for (int i = 0; i < 100; i++)
	{
		siginfo_t	info = {0};

		if (waitid(P_PID, runner.pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
			info.si_pid != 0)
			break;
		pg_usleep(1000);
	}
	status = end_runner();
	if (WIFSIGNALED(status))
		ereport(ERROR,
				(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
				 errmsg("model runner ended by signal %d (%s)",
						WTERMSIG(status), pg_strsignal(WTERMSIG(status))),
				 WTERMSIG(status) == SIGKILL ?
				 errhint("The system may have killed it for its memory, which modelopt.run_memory_limit bounds. The next call starts another one.") :
				 errhint("The model makes ONNX Runtime fail. The next call starts another runner.")));
	ereport(ERROR,
			(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
			 errmsg("model runner ended with exit code %d", WEXITSTATUS(status)),
			 errhint("The next call starts another one.")));
}

/* ---------- waiting ---------- */

static void
wake_terminator(void)
{
	atomic_store(&runner.exchange->terminate, runner.request);
	syscall(SYS_futex, &runner.exchange->terminate, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static bool
has_answered(void)
{
	return atomic_load(&runner.exchange->answer) == runner.request;
}

/* Nobody waits for the answer any more: the run is asked to stop, and is killed
 * when it does not. */
static void
abandon(void)
{
	if (runner.pid == 0)
		return;
	if (!ProcDiePending && runner.exchange->command == EXCHANGE_RUN)
	{
		wake_terminator();
		for (int i = 0; i < STOP_MS && !has_answered(); i++)
			pg_usleep(1000);
	}
	atomic_store(&runner.exchange->backend_waits, 0);
	if (!has_answered())
		end_runner();
}

/* Takes what woke us, and no more, as a runner could send forever; false when
 * nobody is there any more. */
static bool
drain_socket(void)
{
	char		bytes[16];
	ssize_t		n = recv(runner.socket, bytes, sizeof(bytes), MSG_DONTWAIT);

	return n > 0 ||
		(n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR));
}

static void
wait_for_answer(void)
{
	atomic_uint *waits = &runner.exchange->backend_waits;

	while (atomic_store(waits, 1), !has_answered())
	{
		WaitEvent	event;

		if (WaitEventSetWait(runner.events, -1, &event, 1, PG_WAIT_EXTENSION) == 0)
			continue;
		if (event.events & WL_LATCH_SET)
		{
			ResetLatch(MyLatch);
			CHECK_FOR_INTERRUPTS();
		}
		if ((event.events & WL_SOCKET_READABLE) && !drain_socket() && !has_answered())
			runner_died();
	}
	atomic_store(waits, 0);
}

static void
await_answer(void)
{
	if (runner.spins)
		(void) exchange_spin(&runner.exchange->answer, runner.request - 1);
	if (has_answered())
	{
		/* A loop of runs that are short never waits, but can be cancelled. */
		CHECK_FOR_INTERRUPTS();
		return;
	}
	PG_TRY();
	{
		wait_for_answer();
	}
	PG_CATCH();
	{
		abandon();
		PG_RE_THROW();
	}
	PG_END_TRY();
}

/* ---------- requests ---------- */

/* Sends a byte, with a file when there is one.  A runner that does not take them
 * is not waited for: it has enough of them to wake up from, and when it is to
 * have a file, it is ended. */
static void
send_message(int file)
{
	char		byte = 'b';
	struct iovec part = {&byte, 1};
	union
	{
		char		bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	}			control;
	struct msghdr message = {.msg_iov = &part,.msg_iovlen = 1};
	ssize_t		n;

	if (file >= 0)
	{
		struct cmsghdr *header;

		memset(&control, 0, sizeof(control));
		message.msg_control = control.bytes;
		message.msg_controllen = sizeof(control.bytes);
		header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(header), &file, sizeof(int));
	}
	do
	{
		n = sendmsg(runner.socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && (file >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK)))
		runner_died();
}

/* Hands over the request that is written, with a file when there is one. */
static void
post(ExchangeCommand command, uint32 number, int file)
{
	Exchange   *exchange = runner.exchange;

	exchange->command = command;
	exchange->number = number;
	runner.request++;
	atomic_store(&exchange->request, runner.request);
	if (file >= 0 || atomic_exchange(&exchange->runner_waits, 0) != 0)
		send_message(file);
}

/* The same, and waits for the answer. */
static void
request(ExchangeCommand command, uint32 number, int file)
{
	post(command, number, file);
	await_answer();
}

/* A number in the shared memory, taken once: the runner may change it any time. */
#define TAKE(field) (*(volatile __typeof__(field) *) &(field))

/* What the runner says went wrong, as it may have any bytes. */
static Problem *
copy_problem(void)
{
	Problem    *problem = palloc(sizeof(Problem));

	memcpy(problem, &runner.exchange->problem, sizeof(Problem));
	problem->text[sizeof(problem->text) - 1] = '\0';
	return problem;
}

/* ---------- starting ---------- */

static void
take_files(void)
{
	for (; runner.files < RUNNER_FILES; runner.files++)
		if (!AcquireExternalFD())
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
					 errmsg("too many files are open to start a model runner"),
					 errhint("Increase max_files_per_process or the system's limit.")));
}

/* Memory that neither side can make smaller under the other's feet. */
static bool
make_memory(void)
{
	void	   *start;

	runner.memory = memfd_create("modelopt exchange", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (runner.memory < 0)
		return false;
	if (ftruncate(runner.memory, EXCHANGE_SIZE) != 0 ||
		fcntl(runner.memory, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
		return false;
	start = mmap(NULL, EXCHANGE_SIZE, PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_NORESERVE, runner.memory, 0);
	if (start == MAP_FAILED)
		return false;
	runner.exchange = start;
	runner.request = 1;
	atomic_store(&runner.exchange->request, runner.request);
	return true;
}

/* Starts the program; returns what is wrong, as errno has it.  The files that
 * it finds open have low numbers, so ours are moved out of the way first. */
static int
spawn(int its_socket)
{
	char		path[MAXPGPATH];
	char		parent[16];
	char		limit[32];
	char	   *arguments[] = {"modelopt_runner", parent, runner.runtime, limit, NULL};
	char	   *environment[] = {NULL};
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	sigset_t	none,
				all;
	int			result;

	snprintf(path, sizeof(path), "%s/modelopt_runner", pkglib_path);
	snprintf(parent, sizeof(parent), "%d", (int) getpid());
	snprintf(limit, sizeof(limit), UINT64_FORMAT, (uint64) serve_memory_limit * 1024);

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
							 POSIX_SPAWN_SETSID);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &all);
	posix_spawn_file_actions_init(&files);
	for (int i = 0; i < 3; i++)
		posix_spawn_file_actions_addopen(&files, i, "/dev/null", O_RDWR, 0);
	posix_spawn_file_actions_adddup2(&files, its_socket, RUNNER_SOCKET);
	posix_spawn_file_actions_adddup2(&files, runner.memory, RUNNER_MEMORY);
	result = posix_spawn(&runner.pid, path, &files, &attributes, arguments, environment);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attributes);
	if (result != 0)
		runner.pid = 0;
	return result;
}

/* A descriptor's copy with a number that is not low. */
static int
move_up(int *file)
{
	int			moved = fcntl(*file, F_DUPFD_CLOEXEC, RUNNER_MEMORY + 1);

	close(*file);
	*file = moved;
	return moved;
}

/* The same with what it finds; returns what is wrong, as errno has it. */
static int
spawn_with_files(void)
{
	int			sockets[2];
	int			result;

	if (!make_memory())
		return errno;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0)
		return errno;
	runner.socket = sockets[0];
	if (move_up(&runner.memory) < 0 || move_up(&sockets[1]) < 0)
		result = errno;
	else
		result = spawn(sockets[1]);
	if (sockets[1] >= 0)
		close(sockets[1]);
	return result;
}

static void
make_events(void)
{
#if PG_VERSION_NUM >= 170000
	runner.events = CreateWaitEventSet(NULL, 3);
#else
	runner.events = CreateWaitEventSet(TopMemoryContext, 3);
#endif
	AddWaitEventToSet(runner.events, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(runner.events, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	AddWaitEventToSet(runner.events, WL_SOCKET_READABLE, runner.socket, NULL, NULL);
}

/* Starting is a request too, so that the answer says whether the library could
 * be opened. */
static void
try_start(void)
{
	Problem    *problem;
	int			result;

	take_files();
	result = spawn_with_files();
	if (result != 0)
	{
		errno = result;
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not start model runner \"%s/modelopt_runner\": %m", pkglib_path)));
	}
	make_events();
	await_answer();
	if (runner.exchange->good)
		return;
	problem = copy_problem();
	engine_missing(problem);
}

/* There is a runner only after it has said that it is ready: one that was
 * started for nobody would look as if it had the models of the one before. */
static void
start_runner(void)
{
	static bool registered = false;

	if (!registered)
		on_proc_exit(end_runner_at_exit, (Datum) 0);
	registered = true;
	if (runner.runtime != NULL)
		pfree(runner.runtime);
	runner.runtime = NULL;
	runner.runtime = MemoryContextStrdup(TopMemoryContext, serve_library);
	runner.memory_limit = serve_memory_limit;
	runner.spins = sysconf(_SC_NPROCESSORS_ONLN) > 1;
	runner.outputs = 0;
	PG_TRY();
	{
		try_start();
	}
	PG_CATCH();
	{
		(void) end_runner();
		PG_RE_THROW();
	}
	PG_END_TRY();
}

static bool
runner_start(void)
{
	if (runner.pid != 0 &&
		(strcmp(runner.runtime, serve_library) != 0 ||
		 runner.memory_limit != serve_memory_limit))
		end_runner();
	if (runner.pid != 0)
		return true;
	start_runner();
	return false;
}

/* ---------- the engine ---------- */

static const char *
runner_load(uint32 number, int file, uint64 size, int threads,
			uint64 *ports_size)
{
	uint64		bytes;

	runner.exchange->size = size;
	runner.exchange->threads = threads;
	request(EXCHANGE_LOAD, number, file);
	if (!runner.exchange->good)
		engine_failed("load", copy_problem());
	bytes = TAKE(runner.exchange->bytes);
	*ports_size = Min(bytes, EXCHANGE_PART);
	return (char *) runner.exchange + EXCHANGE_OUTPUTS;
}

static void
runner_unload(uint32 number)
{
	if (runner.pid != 0)
		request(EXCHANGE_UNLOAD, number, -1);
}

static char *
runner_inputs(void)
{
	return (char *) runner.exchange + EXCHANGE_INPUTS;
}

static void
read_output(const PlacedTensor *from, uint64 limit, ServedTensor *to)
{
	char	   *memory = (char *) runner.exchange + EXCHANGE_OUTPUTS;

	if (!placed_read(from, memory, limit, to))
		elog(ERROR, "model runner gave a value that does not exist");
	if (to->data != NULL)
		runner.outputs = Max(runner.outputs, (char *) to->data + to->bytes - memory);
}

static void
write_input(const ServedTensor *from, PlacedTensor *to)
{
	placed_write(from, runner_inputs(), to);
}

static void
runner_send(uint32 number, const ServedTensor *inputs, int ninputs)
{
	for (int i = 0; i < ninputs; i++)
		write_input(&inputs[i], &runner.exchange->inputs[i]);
	runner.limit = Min((uint64) serve_max_output * 1024, EXCHANGE_PART);
	runner.exchange->max_output = runner.limit;
	post(EXCHANGE_RUN, number, -1);
}

static int
runner_receive(ServedTensor *outputs)
{
	Exchange   *exchange = runner.exchange;
	uint32		noutputs;

	await_answer();
	if (!exchange->good)
	{
		/* It does not say what it had put there until then. */
		runner.outputs = runner.limit;
		engine_failed("run", copy_problem());
	}
	noutputs = TAKE(exchange->noutputs);
	noutputs = Min(noutputs, ORT_MAX_PORTS);
	for (uint32 i = 0; i < noutputs; i++)
		read_output(&exchange->outputs[i], runner.limit, &outputs[i]);
	return noutputs;
}

static void
give_back(uint64 part, uint64 used, uint64 above)
{
	if (used > above)
		(void) fallocate(runner.memory, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
						 part + above, EXCHANGE_PART - above);
}

static void
runner_trim(uint64 inputs, uint64 above)
{
	if (runner.pid == 0)
		return;
	give_back(EXCHANGE_INPUTS, inputs, above);
	give_back(EXCHANGE_OUTPUTS, runner.outputs, above);
	runner.outputs = 0;
}

const Engine engine_runner = {
	runner_start, runner_load, runner_unload, runner_inputs, runner_send,
	runner_receive, abandon, runner_trim
};
