/*
 * drift.c
 *		How far a distribution is from another, by the counts of the same bins.
 *
 * p is the reference and q what is compared with it.  Bins have a count and the
 * sum of what is in them, so that distances along the axis need no guess where
 * in a bin the values are.
 */
#include "kernel/kernel.h"

#include <math.h>
#include <string.h>

static double
total(const int64_t *counts, int bins)
{
	double		n = 0;

	for (int i = 0; i < bins; i++)
		n += (double) counts[i];
	return n;
}

/* Half an observation more in each bin, so that none has a share of zero. */
double
kernel_drift_psi(const int64_t *p, const int64_t *q, int bins)
{
	double		np = total(p, bins) + 0.5 * bins;
	double		nq = total(q, bins) + 0.5 * bins;
	double		psi = 0;

	for (int i = 0; i < bins; i++)
	{
		double		share_p = ((double) p[i] + 0.5) / np;
		double		share_q = ((double) q[i] + 0.5) / nq;

		psi += (share_q - share_p) * log(share_q / share_p);
	}
	return psi;
}

/* a * log2(a / m), which goes to 0 with a. */
static double
entropy_term(double a, double m)
{
	return a > 0 ? a * log2(a / m) : 0;
}

double
kernel_drift_js(const int64_t *p, const int64_t *q, int bins)
{
	double		np = total(p, bins);
	double		nq = total(q, bins);
	double		divergence = 0;

	for (int i = 0; i < bins; i++)
	{
		double		share_p = (double) p[i] / np;
		double		share_q = (double) q[i] / nq;
		double		middle = (share_p + share_q) / 2;

		divergence += (entropy_term(share_p, middle) + entropy_term(share_q, middle)) / 2;
	}
	return sqrt(fmin(fmax(divergence, 0), 1));
}

double
kernel_drift_ks(const int64_t *p, const int64_t *q, int bins)
{
	double		np = total(p, bins);
	double		nq = total(q, bins);
	double		below_p = 0;
	double		below_q = 0;
	double		most = 0;

	for (int i = 0; i < bins - 1; i++)
	{
		below_p += (double) p[i];
		below_q += (double) q[i];
		most = fmax(most, fabs(below_p / np - below_q / nq));
	}
	return most;
}

double
kernel_drift_linf(const int64_t *p, const int64_t *q, int bins)
{
	double		np = total(p, bins);
	double		nq = total(q, bins);
	double		most = 0;

	for (int i = 0; i < bins; i++)
		most = fmax(most, fabs((double) p[i] / np - (double) q[i] / nq));
	return most;
}

/* The next atom of a distribution: its place and its share. */
typedef struct Atoms
{
	const int64_t *counts;
	const double *sums;
	double		n;
	int			bins;
	int			next;
} Atoms;

static bool
next_atom(Atoms *atoms, double *place)
{
	while (atoms->next < atoms->bins && atoms->counts[atoms->next] == 0)
		atoms->next++;
	if (atoms->next == atoms->bins)
		return false;
	*place = atoms->sums[atoms->next] / (double) atoms->counts[atoms->next];
	return true;
}

static double
take_atom(Atoms *atoms)
{
	return (double) atoms->counts[atoms->next++] / atoms->n;
}

/*
 * The area between the distribution functions of two sets of atoms, which lie at
 * the mean of each bin, and are in order, as the bins are.
 */
double
kernel_drift_wasserstein(const int64_t *p, const double *p_sums,
						 const int64_t *q, const double *q_sums, int bins)
{
	Atoms		left = {p, p_sums, total(p, bins), bins, 0};
	Atoms		right = {q, q_sums, total(q, bins), bins, 0};
	double		difference = 0; /* of the functions, so far */
	double		last = 0;
	double		area = 0;

	for (;;)
	{
		double		place_left = INFINITY;
		double		place_right = INFINITY;
		bool		has_left = next_atom(&left, &place_left);
		bool		has_right = next_atom(&right, &place_right);
		double		place = fmin(place_left, place_right);

		if (!has_left && !has_right)
			return area;
		if (difference != 0)
			area += fabs(difference) * (place - last);
		last = place;
		if (has_left && place_left == place)
			difference += take_atom(&left);
		if (has_right && place_right == place)
			difference -= take_atom(&right);
		/* What is left of shares that add up to one. */
		if (fabs(difference) < 1e-15)
			difference = 0;
	}
}

/* ---------- how much of it is chance ---------- */

/* The regularized lower incomplete gamma function: a series for small x, a
 * continued fraction (Lentz) for large. */
static double
gamma_p(double a, double x)
{
	double		scale = exp(a * log(x) - x - lgamma(a));

	if (x < a + 1)
	{
		double		term = 1 / a;
		double		sum = term;

		for (int i = 1; i < 10000 && fabs(term) > fabs(sum) * 1e-16; i++)
		{
			term *= x / (a + i);
			sum += term;
		}
		return sum * scale;
	}
	else
	{
		double		b = x + 1 - a;
		double		c = 1e300;
		double		d = 1 / b;
		double		h = d;

		for (int i = 1; i < 10000; i++)
		{
			double		an = -i * (i - a);
			double		step;

			b += 2;
			d = an * d + b;
			d = 1 / (fabs(d) < 1e-300 ? 1e-300 : d);
			c = b + an / c;
			c = fabs(c) < 1e-300 ? 1e-300 : c;
			step = c * d;
			h *= step;
			if (fabs(step - 1) < 1e-15)
				break;
		}
		return 1 - scale * h;
	}
}

double
kernel_chi_square_quantile(double probability, int freedom)
{
	double		low = 0;
	double		high = freedom + 1;

	while (gamma_p(freedom / 2.0, high / 2) < probability && high < 1e6)
		high *= 2;
	for (int i = 0; i < 200 && high - low > 1e-12 * high; i++)
	{
		double		middle = (low + high) / 2;

		if (gamma_p(freedom / 2.0, middle / 2) < probability)
			low = middle;
		else
			high = middle;
	}
	return (low + high) / 2;
}

/* ---------- bins ---------- */

int
kernel_drift_bin(const double *edges, int nedges, double value)
{
	int			low = 0;
	int			high = nedges;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (edges[middle] < value)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

void
kernel_drift_bins(const double *edges, int nedges, const double *values, size_t n, int64_t *bins)
{
	memset(bins, 0, n * sizeof(int64_t));
	for (int edge = 0; edge < nedges; edge++)
	{
		double		bound = edges[edge];

		for (size_t i = 0; i < n; i++)
			bins[i] -= bound < values[i] ? INT64_C(-1) : 0;	/* as vectors compare */
	}
}

int
kernel_drift_edges(const double *sorted, int64_t n, int bins, double *edges)
{
	int			nedges = 0;

	for (int i = 1; i < bins && n > 0; i++)
	{
		int64_t		place = (int64_t) ceil((double) i * (double) n / bins) - 1;
		double		edge = sorted[place < 0 ? 0 : place];

		if (edge >= sorted[n - 1])
			break;
		if (nedges == 0 || edge > edges[nedges - 1])
			edges[nedges++] = edge;
	}
	return nedges;
}
