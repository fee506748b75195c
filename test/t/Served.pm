# Served.pm
#	A server that counts, and models in it that were asked, with known latencies
#	and known rows.
package Served;

use strict;
use warnings;

use Exporter 'import';

use Driver qw(create_driver);
use Server;
use Session qw(create_database query);

our @EXPORT_OK = qw(served_server serve_calls);

# Database "stats" with a model "fraud" of three versions: a first one, pruned,
# and quantized on a branch of its own; version 1 and 2 are served, with a
# reference and rows that drift from it in one of two features.
sub served_server
{
	my $server = Server->new("shared_preload_libraries = 'modelopt'", 'max_connections = 30', 'modelopt.stat_flush_interval = 0');
	$server->on(sub {
		query('postgres', 'CREATE ROLE exporter LOGIN IN ROLE pg_read_all_stats');
		create_database('stats');
		create_driver('stats');
		query('stats', q{
			SELECT modelopt.commit('fraud', model_agg(name, data ORDER BY name), 'as trained', metrics => '{"auc": 0.875}')
			FROM (SELECT 'bias' AS name, array_agg(i / 8.0::real ORDER BY i)::real[] AS data FROM generate_series(1, 8) i
				UNION ALL
				SELECT 'weight', array_agg(row ORDER BY r) FROM (SELECT r, array_agg(((r * 7 + c * 5) % 17 - 8)::real ORDER BY c) AS row
					FROM generate_series(1, 8) r, generate_series(1, 16) c GROUP BY r) rows) t;
			SELECT modelopt.commit('fraud', prune(modelopt.get('fraud'), 0.5), 'half of the weights', metrics => '{"auc": 0.75}');
			SELECT modelopt.branch('fraud', 'small', 'fraud#1');
			SELECT modelopt.commit('fraud/small', quantize(modelopt.get('fraud#1'), 'int8'), 'bytes');
			SELECT modelopt.alias('fraud', 'champion', 'fraud#2', reason => 'passes');
			SELECT modelopt.tag('fraud#1', 'v1', 'first');
			SELECT modelopt.set_reference('fraud#2', 'SELECT i AS amount, i % 100 AS age FROM generate_series(1, 1000) i')});
	});
	serve_calls($server);
	# As many rows again; each amount is 400 more, which a tenth of a thousand bins of 100 are four of.
	$server->query_on('stats', q{
		SELECT driver.observe(1, 2, false, 2, array_agg(x ORDER BY i, n))
		FROM generate_series(1, 1000) i, LATERAL (VALUES (1, i + 400.0::float8), (2, (i % 100)::float8)) v (n, x)});
	return $server;
}

# A hundred invocations of version 2, of 1 to 100 milliseconds and ten rows each,
# one of version 1, and a failure of version 2.
sub serve_calls
{
	my ($server) = @_;
	$server->query_on('stats', q{
		SELECT count(driver.call(1, 2, 10, ms * 1000000)) FROM generate_series(1, 100) ms;
		SELECT driver.call(1, 1, 1, 5000000);
		DO $$ BEGIN PERFORM driver.call(1, 2, 10, 1000, '22000'); EXCEPTION WHEN data_exception THEN NULL; END $$});
	return;
}

1;
