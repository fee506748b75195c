/*
 * clock.c
 *		The monotonic clock, read several times in an invocation.
 *
 * Where the kernel makes its clock of the processor's time stamp counter, reading
 * that takes less than half as long as asking the kernel.  How long a tick is, and
 * when it was, each process learns by looking at both, anew every second: so a
 * clock that is slewed, or a machine that slept or moved, is never followed for
 * longer than that.
 */
#include "postgres.h"

#include "compat.h"

#include "monitor/shared.h"
#include "storage/fd.h"

#include <math.h>
#include <time.h>

#if defined(__linux__) && defined(__x86_64__)
#define HAVE_TICKS
#include <x86intrin.h>
#endif

static int64
ask_kernel(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64) now.tv_sec * INT64CONST(1000000000) + now.tv_nsec;
}

/* Never in the future, though what clocks of two processes say of a moment may be
 * microseconds apart. */
TimestampTz
monitor_clock_time(int64 clock)
{
	return GetCurrentTimestamp() - Max(monitor_clock() - clock, 0) / 1000;
}

#ifndef HAVE_TICKS

void
clock_init(void)
{
}

int64
monitor_clock(void)
{
	return ask_kernel();
}

#else

/* What the kernel has found out about the counter: that it is steady, and the same
 * on all processors. */
#define KERNEL_CLOCK "/sys/devices/system/clocksource/clocksource0/current_clocksource"

#define NS_PER_SECOND 1e9
#define ONE_NS 4294967296.0		/* of tick_ns */

/* How much of the time that passed the look at the clocks may have taken. */
#define PRECISION 1e-5

/* No clock is slewed more than that. */
#define SLEWED 1e-3

static bool has_ticks = false;
static uint64 tick_ns = 0;		/* of a tick; 0: not known yet */
static uint64 second = 0;		/* in ticks */
static uint64 last_ticks = 0;	/* when it was looked at both */
static int64 last_ns = 0;

/* In the postmaster, for all its children. */
void
clock_init(void)
{
	char		name[4] = "";
	FILE	   *file = AllocateFile(KERNEL_CLOCK, "r");

	if (file == NULL)
		return;
	has_ticks = fread(name, 1, 4, file) == 4 && memcmp(name, "tsc\n", 4) == 0;
	FreeFile(file);
}

static int64
look(void)
{
	uint64		before = __rdtsc();
	int64		ns = ask_kernel();
	uint64		took = __rdtsc() - before;
	double		passed = (double) (before - last_ticks);
	double		length = (double) (ns - last_ns) * ONE_NS / passed;

	if (last_ns != 0)
	{
		/* It is too soon, or somebody else ran meanwhile. */
		if ((double) took >= passed * PRECISION)
			return ns;
		if (tick_ns == 0 || fabs(length / (double) tick_ns - 1) < SLEWED)
		{
			tick_ns = (uint64) length;
			second = (uint64) (NS_PER_SECOND * ONE_NS / length);
		}
		else
			tick_ns = 0;
	}
	last_ticks = before;
	last_ns = ns;
	return ns;
}

int64
monitor_clock(void)
{
	uint64		passed;

	if (!has_ticks)
		return ask_kernel();
	passed = __rdtsc() - last_ticks;
	if (tick_ns == 0 || passed >= second)
		return look();
	return last_ns + (int64) ((passed * tick_ns) >> 32);
}

#endif
