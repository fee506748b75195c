# Who may install and use the extension, and where.
use strict;
use warnings;

use Test::More;

use Session qw(create_database query run_sql);

query('postgres', 'CREATE ROLE builder LOGIN; CREATE ROLE reader LOGIN;');

# A trusted extension: who may create in a database may create it.
create_database('ours', bare => 1);
my ($status, $out, $err) = run_sql('ours', 'CREATE EXTENSION modelopt', '--username=reader');
like($err, qr/ERROR:  42501: /, 'a role without CREATE on the database may not');
query('postgres', 'GRANT CREATE ON DATABASE ours TO builder');
($status, $out, $err) = run_sql('ours', 'CREATE SCHEMA ml; CREATE EXTENSION modelopt SCHEMA ml', '--username=builder');
is($status, 0, 'a role with CREATE on the database may, without being superuser') or diag($err);
is(query('ours', q{SELECT rolname FROM pg_extension e JOIN pg_roles r ON r.oid = extowner WHERE extname = 'modelopt'}),
	'builder', 'it is theirs');

# The functions find nothing by search_path, so any schema serves.
query('ours', 'GRANT USAGE ON SCHEMA ml TO reader');
is(query('ours', q{SELECT ml.num_parameters(ml.prune(ml.model_agg('w', '{{1,2},{3,4}}'), 0.5))}, '--username=reader'),
	4, 'works from a schema that is not in search_path, for any role');
is(query('ours', q{SET search_path = ml; SELECT sparsity(prune(model_agg('w', '{{1,2},{3,4}}'), 0.5))}, '--username=reader'),
	0.5, 'and from one that is');
# The repository knows the type by its schema.
($status, $out, $err) = run_sql('ours', 'CREATE SCHEMA elsewhere; ALTER EXTENSION modelopt SET SCHEMA elsewhere');
like($err, qr/ERROR:  0A000: extension "modelopt" does not support SET SCHEMA/, 'but it does not move to another');
is(query('ours', q{SELECT modelopt.commit('m', ml.model_agg('w', '{1,2}'), 'in ml'); SELECT ml.sparsity(modelopt.get('m'))}, '--username=builder'),
	"1\n0", 'where the repository works, too');

# No function gives more rights than its caller has; those of files are in
# 070_files.pl.
is(query('ours', q{
	SELECT count(*) FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid AND d.classid = 'pg_proc'::regclass
	JOIN pg_extension e ON d.refobjid = e.oid AND e.extname = 'modelopt'
	WHERE prosecdef}), 0, 'no function is SECURITY DEFINER');
($status, $out, $err) = run_sql('ours', q{SELECT ml.model_read(pg_read_binary_file('PG_VERSION'))}, '--username=reader');
like($err, qr/ERROR:  42501: /, 'reading a file of the server stays a privilege');

# Everything goes with the extension.
query('ours', 'DROP EXTENSION modelopt');
is(query('ours', q{SELECT count(*) FROM pg_proc WHERE probin LIKE '%modelopt%'}), 0, 'DROP EXTENSION leaves no function');
query('ours', 'CREATE EXTENSION modelopt');
is(query('ours', q{SELECT sparsity(model_agg('w', '{0,1}'))}), 0.5, 'and it can be created anew');

done_testing();
