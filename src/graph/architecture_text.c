/*
 * architecture_text.c
 *		Reads the text of an architecture into steps.
 *
 * The grammar is in architecture.h.  Steps can also be added singly, with
 * options by name, which is how other notations come in.
 */
#include "postgres.h"

#include <math.h>

#include "graph/architecture.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"

#define BLANKS " \t\r\n\f\v"

static const char *
server_string(const char *s)
{
	return pg_any_to_server(s, strlen(s), PG_UTF8);
}

void
step_fail_hint(const Step *step, const char *problem, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("architecture does not fit the model"),
			 errdetail("Step %d, \"%s%s%s\", %s.", step->position,
					   step->name != NULL ? server_string(step->name) : "",
					   step->name != NULL ? ":" : "", step->op->name,
					   problem),
			 hint != NULL ? errhint("%s", hint) : 0));
	pg_unreachable();
}

void
step_fail(const Step *step, const char *problem)
{
	step_fail_hint(step, problem, NULL);
}

/* What is wrong with the text itself. */
static void
fail(int position, const char *problem, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid architecture"),
			 errdetail("Step %d %s.", position, problem),
			 hint != NULL ? errhint("%s", hint) : 0));
}

/* ---------- options ---------- */

static const struct
{
	const char *name;
	StepOption	option;
}			option_names[] =
{
	{"from", STEP_FROM},
	{"shape", STEP_SHAPE},
	{"kernel", STEP_KERNEL},
	{"stride", STEP_STRIDE},
	{"padding", STEP_PADDING},
	{"dilation", STEP_DILATION},
	{"groups", STEP_GROUPS},
	{"heads", STEP_HEADS},
	{"eps", STEP_EPS},
	{"alpha", STEP_ALPHA},
	{"axis", STEP_AXIS},
};

static const char *
option_name(StepOption option)
{
	for (int i = 0; i < (int) lengthof(option_names); i++)
	{
		if (option_names[i].option == option)
			return option_names[i].name;
	}
	return "";
}

/* What a step takes. */
static const char *
options_hint(const StepOperator *op)
{
	StringInfoData hint;

	initStringInfo(&hint);
	for (int i = 0; i < (int) lengthof(option_names); i++)
		if ((op->options & option_names[i].option) != 0)
			appendStringInfo(&hint, "%s%s", hint.len > 0 ? ", " : "Options are: ",
							 option_names[i].name);
	if (hint.len == 0)
		appendStringInfoString(&hint, "There are none");
	appendStringInfoChar(&hint, '.');
	return hint.data;
}

static void
fail_value(const Step *step, StepOption option, const char *value)
{
	fail(step->position,
		 psprintf("gives \"%s\" for %s", server_string(value),
				  option_name(option)), NULL);
}

/* A whole number of at most 9 digits; false when it is none. */
static bool
parse_integer(const char **at, int64 *value)
{
	const char *s = *at;
	bool		negative = *s == '-';
	int			digits = 0;

	*value = 0;
	if (negative)
		s++;
	for (; *s >= '0' && *s <= '9'; s++)
	{
		if (++digits > 9)
			return false;
		*value = *value * 10 + (*s - '0');
	}
	if (negative)
		*value = -*value;
	*at = s;
	return digits > 0;
}

/* Sizes with an x between them, like 3x32x32; a ? is one that is not known. */
static void
set_sizes(const Step *step, StepOption option, StepInts *ints,
		  const char *value)
{
	const char *at = value;
	int64		least = option == STEP_PADDING ? 0 : 1;

	ints->n = 0;
	for (;;)
	{
		int64		size = -1;

		if (option == STEP_SHAPE && *at == '?')
			at++;
		else if (!parse_integer(&at, &size) || size < least)
			fail_value(step, option, value);
		if (ints->n == STEP_MAX_INTS)
			fail_value(step, option, value);
		ints->values[ints->n++] = size;
		if (*at == '\0')
			return;
		if (*at++ != 'x')
			fail_value(step, option, value);
	}
}

static int64
integer_value(const Step *step, StepOption option, const char *value,
			  int64 least)
{
	const char *at = value;
	int64		number;

	if (!parse_integer(&at, &number) || *at != '\0' || number < least)
		fail_value(step, option, value);
	return number;
}

/* ONNX has it as a float. */
static double
real_value(const Step *step, StepOption option, const char *value)
{
	char	   *end;
	double		number = strtod(value, &end);

	if (end == value || *end != '\0' || !isfinite((float) number) || number < 0)
		fail_value(step, option, value);
	return number;
}

static void
add_from(Step *step, const char *value)
{
	if (*value == '\0')
		fail_value(step, STEP_FROM, value);
	if (step->nfrom == step->op->nfrom)
		fail(step->position,
			 psprintf("takes the outputs of more steps than %d",
					  step->op->nfrom), NULL);
	step->from[step->nfrom++] = pstrdup(value);
}

static void
set_value(Step *step, StepOption option, const char *value)
{
	switch (option)
	{
		case STEP_FROM:
			add_from(step, value);
			break;
		case STEP_SHAPE:
			set_sizes(step, option, &step->shape, value);
			break;
		case STEP_KERNEL:
			set_sizes(step, option, &step->kernel, value);
			break;
		case STEP_STRIDE:
			set_sizes(step, option, &step->stride, value);
			break;
		case STEP_PADDING:
			step->same_padding = strcmp(value, "same") == 0;
			if (!step->same_padding)
				set_sizes(step, option, &step->padding, value);
			break;
		case STEP_DILATION:
			set_sizes(step, option, &step->dilation, value);
			break;
		case STEP_GROUPS:
			step->groups = integer_value(step, option, value, 1);
			break;
		case STEP_HEADS:
			step->heads = integer_value(step, option, value, 1);
			break;
		case STEP_EPS:
			step->eps = real_value(step, option, value);
			break;
		case STEP_ALPHA:
			step->alpha = real_value(step, option, value);
			break;
		case STEP_AXIS:
			step->axis = integer_value(step, option, value, PG_INT32_MIN);
			break;
	}
}

void
step_set(Step *step, const char *name, const char *value)
{
	StepOption	option = step->op->main;

	if (name == NULL && option == 0)
		fail(step->position,
			 psprintf("gives \"%s\" to %s, which takes nothing without a name",
					  server_string(value), step->op->name), NULL);
	if (name != NULL)
	{
		int			i = 0;

		while (i < (int) lengthof(option_names) &&
			   strcmp(option_names[i].name, name) != 0)
			i++;
		if (i == (int) lengthof(option_names) ||
			(step->op->options & option_names[i].option) == 0)
			fail(step->position,
				 psprintf("gives an option \"%s\", which %s does not take",
						  server_string(name), step->op->name), options_hint(step->op));
		option = option_names[i].option;
	}
	if ((step->given & option) != 0 && option != STEP_FROM)
		fail(step->position,
			 psprintf("gives %s twice", option_name(option)), NULL);
	step->given |= option;
	set_value(step, option, value);
}

/* ---------- steps ---------- */

/* What one who writes an operator that there is not may have meant. */
static const char *
operator_hint(const char *op)
{
	const StepOperator *meant = step_operator_like(op);

	if (strchr(op, ',') != NULL)
		return "Steps have blanks between them, and no commas.";
	if (meant != NULL)
		return psprintf("It is called \"%s\" here.", meant->name);
	return psprintf("There are %s.", step_operator_names());
}

Architecture *
architecture_create(void)
{
	Architecture *architecture = palloc(sizeof(Architecture));

	architecture->nsteps = 0;
	architecture->allocated = 16;
	architecture->steps = palloc(architecture->allocated * sizeof(Step *));
	return architecture;
}

Step *
architecture_add(Architecture *architecture, const char *name, const char *op)
{
	Step	   *step;
	int			position = architecture->nsteps + 1;

	if (position > ARCHITECTURE_MAX_STEPS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("architecture has more than %d steps",
						ARCHITECTURE_MAX_STEPS)));
	if (architecture->nsteps == architecture->allocated)
	{
		architecture->allocated *= 2;
		architecture->steps = repalloc(architecture->steps,
									   architecture->allocated * sizeof(Step *));
	}
	step = palloc0(sizeof(Step));
	step->position = position;
	step->op = step_operator(op);
	if (step->op == NULL)
		fail(position,
			 psprintf("is an operator \"%s\", which there is not",
					  server_string(op)),
			 operator_hint(op));
	if (name != NULL && (*name == '\0' || strlen(name) > MODEL_MAX_NAME))
		fail(position, "has a name that is empty or too long", NULL);
	step->name = name != NULL ? pstrdup(name) : NULL;
	step->groups = 1;
	step->axis = step->op->main == STEP_FROM ? 1 : -1;
	step->eps = 1e-5;
	step->alpha = 0.01;
	architecture->steps[architecture->nsteps++] = step;
	return step;
}

/* ---------- the text ---------- */

/* Cuts blanks off both ends, in place. */
static char *
trim(char *s)
{
	size_t		length;

	s += strspn(s, BLANKS);
	length = strlen(s);
	while (length > 0 && strchr(BLANKS, s[length - 1]) != NULL)
		length--;
	s[length] = '\0';
	return s;
}

/* "name:operator" or "operator"; the last colon counts. */
static Step *
add_step(Architecture *architecture, char *word)
{
	char	   *colon = strrchr(word, ':');

	if (colon == NULL)
		return architecture_add(architecture, NULL, word);
	*colon = '\0';
	return architecture_add(architecture, word, colon + 1);
}

/* What is between the parentheses. */
static void
set_arguments(Step *step, char *arguments)
{
	char	   *argument;

	while ((argument = strsep(&arguments, ",")) != NULL)
	{
		char	   *equals = strchr(argument, '=');

		if (equals != NULL)
			*equals++ = '\0';
		argument = trim(argument);
		if (*argument == '\0')
			fail(step->position, "has an empty argument", NULL);
		if (equals == NULL)
			step_set(step, NULL, argument);
		else
			step_set(step, argument, trim(equals));
	}
}

void
architecture_read(Architecture *architecture, const char *text_utf8)
{
	size_t		length = strlen(text_utf8);
	char	   *at;

	if (length > ARCHITECTURE_MAX_TEXT)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("architecture has more than %d bytes",
						ARCHITECTURE_MAX_TEXT)));
	at = pstrdup(text_utf8);
	for (at += strspn(at, BLANKS); *at != '\0'; at += strspn(at, BLANKS))
	{
		char	   *word = at;
		char	   *arguments = NULL;
		Step	   *step;

		CHECK_FOR_INTERRUPTS();
		at += strcspn(at, BLANKS "(");
		if (*at == '(')
		{
			*at++ = '\0';
			arguments = at;
			at += strcspn(at, ")");
			if (*at == '\0')
				fail(architecture->nsteps + 1,
					 "has a parenthesis that is not closed", NULL);
		}
		if (*at != '\0')
			*at++ = '\0';
		step = add_step(architecture, word);
		if (arguments != NULL && *trim(arguments) != '\0')
			set_arguments(step, arguments);
	}
}
