# Workers compute what the leader computes.
use strict;
use warnings;

use Test::More;

use Session qw(create_database query);

create_database('workers');
query('workers', q{
	CREATE TABLE zoo (id int, m model);
	INSERT INTO zoo SELECT i, model_agg('w' || t, data ORDER BY t)
		FROM generate_series(1, 40) i,
			 LATERAL (SELECT t, array_agg(((i * t * k) % 997 / 16.0)::real ORDER BY k) AS data
					  FROM generate_series(1, 3) t, generate_series(1, 4000) k GROUP BY t) d
		GROUP BY i;
	ALTER TABLE zoo SET (parallel_workers = 2);
	ANALYZE zoo;
});

my $ALONE = 'SET max_parallel_workers_per_gather = 0;';
my $TOGETHER = q{SET max_parallel_workers_per_gather = 2; SET parallel_setup_cost = 0;
	SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; SET parallel_leader_participation = off;};

for my $what (
	'id, model_digest(m)',
	'id, model_digest(prune(m, 0.37))',
	q{id, model_digest(prune(m, 0.5, method => 'random', seed => 7))},
	'id, sparsity(prune(m, 0.37)), num_parameters(m)',
	q{id, (tensor(m, 'w2'))[1:5]},
	q{id, md5(model_write(m, 'pytorch'))},
	'id, model_size(model_read(model_write(m, \'pytorch\')))')
{
	my $sql = "SELECT $what FROM zoo ORDER BY id";
	my $plan = query('workers', "$TOGETHER EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, VERBOSE) $sql");
	like($plan, qr/Workers Launched: [12]/, "workers run $what");
	is(query('workers', "$TOGETHER $sql"), query('workers', "$ALONE $sql"), 'and say what one process says');
}

# Models travel from a worker to the leader, and are joined and grouped there.
my $flat = 'SELECT id, md5(bytea(p)) FROM (SELECT id, prune(m, 0.6) AS p FROM zoo) s ORDER BY id';
is(query('workers', "$TOGETHER $flat"), query('workers', "$ALONE $flat"), 'models come back from workers to the byte');
my $grouped = 'SELECT count(*), count(DISTINCT model_digest(a.m)) FROM zoo a JOIN zoo b ON a.m = b.m';
is(query('workers', "$TOGETHER $grouped"), '40|40', 'a parallel hash join on models');

done_testing();
