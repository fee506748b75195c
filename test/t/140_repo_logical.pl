# Logical replication of the repository's tables, as doc/replication.md says.
use strict;
use warnings;

use Test::More;

use Repository qw(fill_repository repository_rows repository_models sign_version);
use Server;
use Session qw(create_database query run_sql);

plan skip_all => 'there is no openssl program' if system 'command -v openssl >/dev/null 2>&1';

my @settings = ('wal_level = logical', 'max_wal_senders = 4', 'max_replication_slots = 4', 'full_page_writes = on');
my $publisher = Server->new(@settings);
my $subscriber = Server->new(@settings);
$publisher->on(sub {
	query('postgres', 'CREATE ROLE dumped_reader');
	create_database('repo');
	fill_repository('repo');
});
$subscriber->on(sub { create_database('repo') });

# All tables of the repository, but for models that are on their way.
my $tables = $publisher->query_on('repo', q{
	SELECT string_agg(oid::regclass::text, ', ' ORDER BY relname) FROM pg_class
	WHERE relnamespace = 'modelopt_private'::regnamespace AND relkind = 'r' AND relname NOT LIKE 'load%'});
is($publisher->query_on('repo', q{
	SELECT string_agg(oid::regclass::text, ', ' ORDER BY relname) FROM pg_class c
	WHERE relnamespace = 'modelopt_private'::regnamespace AND relkind = 'r'
	AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary)}), '', 'every table has a key by which rows are replicated');
$publisher->query_on('repo', "CREATE PUBLICATION models FOR TABLE $tables");
$subscriber->query_on('repo', "CREATE SUBSCRIPTION models CONNECTION 'host=$publisher->{folder} user=postgres dbname=repo' PUBLICATION models");

# Until the subscriber has what the publisher has now.
sub catch_up
{
	$subscriber->wait_for('repo', q{SELECT count(*) > 0 AND bool_and(srsubstate = 'r') FROM pg_subscription_rel});
	my $now = $publisher->query_on('repo', 'SELECT pg_current_wal_insert_lsn()');
	$publisher->query_on('repo', 'SELECT pg_switch_wal()');
	return $publisher->wait_for('repo', "SELECT confirmed_flush_lsn >= '$now' FROM pg_replication_slots WHERE slot_name = 'models'");
}

sub same
{
	my ($title) = @_;
	catch_up();
	is_deeply($subscriber->on(sub { repository_rows('repo') }), $publisher->on(sub { repository_rows('repo') }), "$title: every row of every table");
	is($subscriber->on(sub { repository_models('repo') }), $publisher->on(sub { repository_models('repo') }), "$title: every byte of every version");
	is($subscriber->query_on('repo', 'SELECT count(*) FROM modelopt.audit_verify()'), 0, "$title: the audit fits");
	return;
}
same('what was there');
is($subscriber->query_on('repo', q{SELECT key, valid FROM modelopt.verify_signature('fraud#2')}), 'release|t', 'signatures are valid');
is($subscriber->query_on('repo', q{SELECT modelopt.tensor('sprache', 'größe.ß')}), '{{1,-0},{NaN,Infinity}}', 'weights are read');

# Everything that changes rows: new versions and models, moves, what is taken
# away, and a model that is dropped, which deletes what only grows otherwise.
$publisher->on(sub {
	query('repo', q{
		SELECT modelopt.commit('fraud', model_agg('w', array_fill(0.5::real, ARRAY[100000])), 'next');
		SELECT modelopt.commit('new', model_agg('w', '{1}'), 'new'), modelopt.commit('short-lived', model_agg('w', '{2}'), 'gone soon');
		SELECT modelopt.unbranch('fraud', 'exp'), modelopt.revoke('fraud', 'dumped_reader'), modelopt.unprotect('fraud', 'champ*');
		SELECT modelopt.alias('fraud', 'champion', 'fraud#2'), modelopt.rename('sprache', 'language'), modelopt.unarchive('copied');
		SELECT modelopt.log_metric('new', 'auc', 0.5), modelopt.revoke_key('release')});
	sign_version('repo', 'short-lived', 'other');
	query('repo', q{SELECT modelopt.drop('short-lived')});
});
same('what changed');
is($subscriber->query_on('repo', q{SELECT key, valid FROM modelopt.verify_signature('fraud#2')}), 'release|f', 'a key that was revoked there is revoked here');

# The publisher is gone: sequences were not replicated.
$publisher->halt;
$subscriber->query_on('repo', 'ALTER SUBSCRIPTION models DISABLE; ALTER SUBSCRIPTION models SET (slot_name = NONE); DROP SUBSCRIPTION models');
my $commit = q{SELECT modelopt.commit('fraud', model_agg('w', '{1,2,3}'), 'after')};
like($subscriber->on(sub { (run_sql('repo', $commit))[2] }), qr/ERROR:  23505: duplicate key value/, 'a commit meets numbers that are taken');
$subscriber->query_on('repo', 'CREATE ROLE dumped_reader');
like($subscriber->on(sub { (run_sql('repo', 'SET ROLE dumped_reader; SELECT modelopt.sync_sequences()'))[2] }), qr/ERROR:  42501: /, 'not anybody may move sequences');
cmp_ok($subscriber->query_on('repo', 'SELECT modelopt.sync_sequences()'), '>=', 6, 'sequences are moved past what there is');
is($subscriber->query_on('repo', 'SELECT modelopt.sync_sequences()'), 0, 'and are then where they are to be');
is($subscriber->query_on('repo', $commit), '5', 'the next commit has the next number');
is($subscriber->query_on('repo', q{SELECT modelopt.commit('mine', model_agg('w', '{4}')), modelopt.rollback('fraud', 'champion'), modelopt.tensor('fraud', 'w')}),
	'1|fraud#1|{1,2,3}', 'and everything goes on');
is($subscriber->query_on('repo', 'SELECT count(*) FROM modelopt.audit_verify()'), 0, 'as does the audit');
like($subscriber->on(sub { (run_sql('repo', 'DELETE FROM modelopt_private.audit'))[2] }), qr/ERROR:  55000: /, 'whose rows nobody changes here either');
is($subscriber->query_on('repo', q{
	SELECT count(*) FROM pg_class c JOIN pg_class t ON t.relnamespace = c.relnamespace AND t.relkind = 'r' AND t.relname = regexp_replace(c.relname, '_id(_seq)?$', '')
	WHERE c.relnamespace = 'modelopt_private'::regnamespace AND c.relkind = 'S'}),
	$subscriber->query_on('repo', q{SELECT count(*) FROM pg_class WHERE relnamespace = 'modelopt_private'::regnamespace AND relkind = 'S'}),
	'every sequence is called as its table');

done_testing();
