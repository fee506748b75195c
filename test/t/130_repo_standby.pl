# A streaming standby reads the repository, refuses to write it, and goes on when
# it is promoted.
use strict;
use warnings;

use Test::More;

use Repository qw(fill_repository repository_rows repository_models);
use Server;
use Session qw(create_database query run_sql);

plan skip_all => 'there is no openssl program' if system 'command -v openssl >/dev/null 2>&1';

my $primary = Server->new('wal_level = replica', 'max_wal_senders = 4', 'full_page_writes = on');
my $standby = Server->standby_of($primary);
$primary->on(sub {
	query('postgres', 'CREATE ROLE dumped_reader');
	create_database('repo');
	fill_repository('repo');
});
# Until the standby has what the primary has now.
sub catch_up
{
	my $now = $primary->query_on('repo', 'SELECT pg_current_wal_insert_lsn()');
	$primary->query_on('repo', 'SELECT pg_switch_wal()');
	return $standby->wait_for('postgres', "SELECT pg_last_wal_replay_lsn() >= '$now'");
}
catch_up();

is($standby->query_on('repo', 'SELECT pg_is_in_recovery()'), 't', 'a standby');
my $models = $primary->on(sub { repository_models('repo') });
is($standby->on(sub { repository_models('repo') }), $models, 'has every byte of every version');
is_deeply($standby->on(sub { repository_rows('repo') }), $primary->on(sub { repository_rows('repo') }), 'and every row');

# Reading is the same here and there.
for my $read (
	q{SELECT version, message, relation, parent, sparsity, metrics, refs, digest FROM modelopt.log('fraud/exp')},
	q{SELECT modelopt.show('fraud@champion') - 'session'},
	q{SELECT name, dtype, shape, parameters, encoding FROM tensors(modelopt.get('fraud#2'))},
	q{SELECT modelopt.tensor('sprache', 'größe.ß')},
	q{SELECT sparsity(modelopt.get('fraud:v1')), sparsity(prune(modelopt.get('fraud#2'), 0.9, include => '{w1}'))},
	q{SELECT modelopt.resolve('fraud@champion'), modelopt.resolve_at('fraud', 'champion', now()), modelopt.resolve('fraud/exp~1')},
	q{SELECT * FROM modelopt.models ORDER BY 1}, q{SELECT * FROM modelopt.refs ORDER BY 1, 2, 3}, q{SELECT * FROM modelopt.reflog ORDER BY at},
	q{SELECT * FROM modelopt.audit ORDER BY 1, 2}, q{SELECT * FROM modelopt.metrics ORDER BY 1, 2, 3}, q{SELECT * FROM modelopt.stat_references ORDER BY 1, 2}, q{SELECT * FROM modelopt.privileges ORDER BY 1, 2, 3},
	q{SELECT count(*) FROM modelopt.audit_verify()}, q{SELECT modelopt.audit_digest() -> 'chains'},
	q{SELECT modelopt.manifest('fraud#2')}, q{SELECT * FROM modelopt.verify_signature('fraud#2')},
	q{SET ROLE dumped_reader; SELECT modelopt.has_privilege('fraud', 'read'), modelopt.has_privilege('sprache', 'read')})
{
	is($standby->query_on('repo', $read), $primary->query_on('repo', $read), substr $read, 0, 90);
}
my $denied = $standby->on(sub { (run_sql('repo', q{SET ROLE dumped_reader; SELECT modelopt.get('sprache')}))[2] });
like($denied, qr/ERROR:  42501: permission denied for model "sprache"/, 'privileges hold');

# Whatever writes says so, and does not begin.
my $writers = $standby->query_on('repo', q{
	SELECT string_agg(p.proname || E'\t' || format('SELECT modelopt.%I(%s)', p.proname, (
		SELECT string_agg(CASE regexp_replace(t::regtype::text, '.*\[\]', '[]') WHEN '[]' THEN '''{}''' WHEN 'text' THEN '''x''' WHEN 'jsonb' THEN '''{}''' WHEN 'boolean' THEN 'false'
			WHEN 'bytea' THEN '''''' WHEN 'model' THEN '(SELECT model_agg(''w'', ''{1}''))' WHEN 'timestamp with time zone' THEN 'now()'
			WHEN 'interval' THEN '''1 h''' WHEN 'regclass' THEN '''pg_class''' ELSE '1' END || '::' || t::regtype, ', ' ORDER BY n)
		FROM unnest(p.proargtypes) WITH ORDINALITY a (t, n))), E'\n' ORDER BY p.proname)
	FROM pg_proc p WHERE p.pronamespace = 'modelopt'::regnamespace AND p.provolatile = 'v'
		AND p.prosrc = 'modelopt_gate' AND p.prorettype <> 'trigger'::regtype});
cmp_ok(scalar(split /\n/, $writers), '>', 20, 'functions that write');
for my $writer (split /\n/, $writers)
{
	my ($name, $call) = split /\t/, $writer;
	my (undef, undef, $err) = $standby->on(sub { run_sql('repo', $call) });
	like($err, qr/ERROR:  25006: cannot execute modelopt\.$name\(\) in a read-only transaction/, "modelopt.$name() says that it cannot");
}
my (undef, undef, $err) = $primary->on(sub { run_sql('repo', q{SET default_transaction_read_only = on; SELECT modelopt.commit('fraud', modelopt.get('fraud'))}) });
like($err, qr/ERROR:  25006: cannot execute modelopt\.commit\(\)/, 'as in a transaction that is read-only by choice');

# What is committed there is soon here.
$primary->query_on('repo', q{SELECT modelopt.commit('fraud', model_agg('w', '{7,8}'), 'fresh'), modelopt.commit('later', model_agg('w', '{9}'), 'new')});
catch_up();
is($standby->query_on('repo', q{SELECT modelopt.tensor('fraud', 'w'), modelopt.tensor('later', 'w')}), '{7,8}|{9}', 'a new version arrives');

# The primary is lost.
$models = $primary->on(sub { repository_models('repo') });
$primary->halt;
$standby->query_on('postgres', 'SELECT pg_promote()');
is($standby->query_on('repo', 'SELECT pg_is_in_recovery()'), 'f', 'promoted');
is($standby->on(sub { repository_models('repo') }), $models, 'everything is there');
is($standby->query_on('repo', q{
	SELECT modelopt.commit('fraud', model_agg('w', '{10}'), 'after'), modelopt.commit('later', prune(modelopt.get('fraud#1'), 0.9, include => '{w2}'), 'after')}),
	'5|2', 'versions go on with the next numbers');
is($standby->query_on('repo', q{SET ROLE dumped_reader; SELECT modelopt.commit('theirs', model_agg('w', '{1}'))}), '1', 'and new models are made');
is($standby->query_on('repo', q{SELECT modelopt.tensor('fraud', 'w')}), '{10}', 'which are read');
is($standby->query_on('repo', 'SELECT count(*) FROM modelopt.audit_verify()'), 0, 'the audit goes on');

done_testing();
