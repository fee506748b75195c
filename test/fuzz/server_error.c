/*
 * server_error.c
 *		ereport, PG_TRY and interrupts.
 *
 * Messages are really formatted, so that the sanitizers see their arguments,
 * and must be in the database's encoding, which is UTF-8 here.  An ERROR jumps
 * to PG_exception_stack, as in the server.  One without an SQLSTATE of its own
 * (elog, or a limit of the server's) is a bug of the code under test: bytes
 * from outside are to be refused in words that are about them.
 */
#include "postgres.h"

#include <signal.h>

#include "miscadmin.h"
#include "server.h"

#undef vsnprintf
#undef snprintf
#undef fprintf
#undef vfprintf

#define TEXT_ROOM 4096

sigjmp_buf *PG_exception_stack = NULL;
ErrorContextCallback *error_context_stack = NULL;

/* The error or notice that is being made. */
static struct
{
	int			level;
	int			code;
	bool		injected;
	char		message[TEXT_ROOM];
	char		detail[TEXT_ROOM];
	char		hint[TEXT_ROOM];
	char		context[TEXT_ROOM]; /* of the innermost that says something */
} report;

/* ---------- the end ---------- */

void
server_die(const char *why,...)
{
	va_list		args;

	va_start(args, why);
	fprintf(stderr, "\n== ");
	vfprintf(stderr, why, args);
	fprintf(stderr, "\n");
	va_end(args);
	abort();
}

/* ---------- ereport ---------- */

bool
errstart(int elevel, const char *domain)
{
	report.level = elevel;
	report.code = elevel >= ERROR ? ERRCODE_INTERNAL_ERROR : 0;
	report.injected = false;
	report.message[0] = report.detail[0] = report.hint[0] = '\0';
	return true;
}

bool
errstart_cold(int elevel, const char *domain)
{
	return errstart(elevel, domain);
}

int
errcode(int sqlerrcode)
{
	report.code = sqlerrcode;
	return 0;
}

/* A message is cut where there is no more room, and not in a character. */
static void
put_text(char *text, const char *format, va_list args)
{
	int			length = vsnprintf(text, TEXT_ROOM, format, args);

	if (length < 0)
		server_die("format \"%s\" is invalid", format);
	if (length >= TEXT_ROOM)
	{
		length = TEXT_ROOM - 1;
		while (length > 0 && ((unsigned char) text[length] & 0xc0) == 0x80)
			length--;
		text[length] = '\0';
	}
	if (!server_utf8_is_valid(text, length))
		server_die("message is not in the database's encoding: %s", text);
}

#define PUT_TEXT(text, format) \
	do { \
		va_list		args; \
\
		va_start(args, format); \
		put_text(text, format, args); \
		va_end(args); \
	} while (0)

int
errmsg(const char *fmt,...)
{
	PUT_TEXT(report.message, fmt);
	return 0;
}

int
errmsg_internal(const char *fmt,...)
{
	PUT_TEXT(report.message, fmt);
	return 0;
}

int
errmsg_plural(const char *fmt_singular, const char *fmt_plural,
			  unsigned long n,...)
{
	va_list		args;

	va_start(args, n);
	put_text(report.message, n == 1 ? fmt_singular : fmt_plural, args);
	va_end(args);
	return 0;
}

int
errdetail(const char *fmt,...)
{
	PUT_TEXT(report.detail, fmt);
	return 0;
}

int
errdetail_internal(const char *fmt,...)
{
	PUT_TEXT(report.detail, fmt);
	return 0;
}

int
errdetail_plural(const char *fmt_singular, const char *fmt_plural,
				 unsigned long n,...)
{
	va_list		args;

	va_start(args, n);
	put_text(report.detail, n == 1 ? fmt_singular : fmt_plural, args);
	va_end(args);
	return 0;
}

int
errhint(const char *fmt,...)
{
	PUT_TEXT(report.hint, fmt);
	return 0;
}

int
set_errcontext_domain(const char *domain)
{
	return 0;
}

int
errcontext_msg(const char *fmt,...)
{
	PUT_TEXT(report.context, fmt);
	return 0;
}

/* What is told of the place of an error must be there to be told. */
static void
add_context(void)
{
	report.context[0] = '\0';
	for (ErrorContextCallback *context = error_context_stack; context != NULL;
		 context = context->previous)
		context->callback(context->arg);
}

void
errfinish(const char *filename, int lineno, const char *funcname)
{
	if (report.message[0] == '\0')
		server_die("report without a message at %s:%d", filename, lineno);
	add_context();
	if (report.level < ERROR)
		return;
	if (report.level > ERROR)
		server_die("%s:%d ends the backend: %s", filename, lineno,
				   report.message);
	if (report.code == ERRCODE_INTERNAL_ERROR && !report.injected)
		server_die("%s:%d, an internal error: %s", filename, lineno,
				   report.message);
	pg_re_throw();
}

void
pg_re_throw(void)
{
	if (PG_exception_stack == NULL)
		server_die("error that nobody catches: %s", report.message);
	siglongjmp(*PG_exception_stack, 1);
}

int
server_error_code(void)
{
	return report.code;
}

const char *
server_error_text(void)
{
	static char text[3 * TEXT_ROOM];

	snprintf(text, sizeof(text), "%s%s%s%s%s", report.message,
			 report.detail[0] ? "\nDETAIL: " : "", report.detail,
			 report.hint[0] ? "\nHINT: " : "", report.hint);
	return text;
}

/* ---------- assertions ---------- */

/* The server's headers declare it as their version has it; from 16 on it has
 * no type of error. */
#if PG_VERSION_NUM >= 160000
void
ExceptionalCondition(const char *conditionName, const char *fileName,
					 int lineNumber)
#else
void
ExceptionalCondition(const char *conditionName, const char *errorType,
					 const char *fileName, int lineNumber)
#endif
{
	server_die("%s:%d, failed assertion: %s", fileName, lineNumber,
			   conditionName);
}

/* ---------- interrupts and events ---------- */

/* An interrupt is always pending, so that every look is seen. */
volatile sig_atomic_t InterruptPending = true;
volatile sig_atomic_t QueryCancelPending = false;
volatile uint32 InterruptHoldoffCount = 0;
volatile uint32 QueryCancelHoldoffCount = 0;
volatile uint32 CritSectionCount = 0;

static uint64 events = 0;
static uint64 events_fail_at = 0;

void
server_events_reset(uint64 fail_at)
{
	events = 0;
	events_fail_at = fail_at;
}

uint64
server_events(void)
{
	return events;
}

void
server_event(void)
{
	if (++events != events_fail_at)
		return;
	errstart(ERROR, NULL);
	report.injected = true;
	errcode(ERRCODE_QUERY_CANCELED);
	errmsg("canceling statement due to user request");
	errfinish(__FILE__, __LINE__, __func__);
}

void
ProcessInterrupts(void)
{
	server_event();
}
