# Eight sessions commit and eight read, all to and from the same models, while
# gc and repack run.  In the end every version that was reported is there,
# numbers have no gaps, each version comes from the one before, and everything
# is what was put in; and when the models are dropped, their space comes back.
use strict;
use warnings;

use Test::More;

use Session qw(create_database query);

my ($WRITERS, $READERS, $ROUNDS) = (8, 8, 12);

create_database('busy');

# Of a model's tensors one is the same in all, one differs a little from one
# model to the next, and two have the model's number.
query('busy', q{
	CREATE FUNCTION net(number integer) RETURNS model LANGUAGE sql AS
	$$ SELECT model_agg(name, data ORDER BY name) FROM (VALUES
		('common', (SELECT array_agg(sqrt(i)::real) FROM generate_series(1, 4000) i)),
		('near', (SELECT array_agg((sin(i) + number * 1e-6)::real) FROM generate_series(1, 4000) i)),
		('one', array_fill(number::real, ARRAY[100])),
		('two', array_fill(number::real, ARRAY[3000]))) t (name, data) $$;
	-- Whether what is read is one of these, and which.
	CREATE FUNCTION look(ref text) RETURNS text LANGUAGE sql AS
	$$ SELECT CASE WHEN got = net(number) AND (tensor(got, 'two'))[3000] = number AND (tensor(got, 'common'))[4000] = sqrt(4000)::real
			AND (tensor(got, 'near'))[4000] = (sin(4000) + number * 1e-6)::real THEN 'good' ELSE 'bad' END
	   FROM (SELECT got, (tensor(got, 'one'))[100]::integer AS number FROM (SELECT modelopt.get(ref) AS got) g) n $$;
	SELECT modelopt.commit(name, net(CASE name WHEN 'kept' THEN 10000 ELSE 0 END), 'first') FROM unnest('{shared,kept,left,right}'::text[]) name;
	SELECT modelopt.alias('shared', 'champion', 'shared#1');
	SELECT modelopt.retention('kept', keep_last => 2)});

# ---------- the work ----------

sub writer_work
{
	my ($writer) = @_;
	my $sql = '';
	for my $round (1 .. $ROUNDS)
	{
		my $number = 100 * $writer + $round;
		my $commit = sub {
			my $content = $number + ($_[0] eq 'kept' ? 10000 : 0);
			return "SELECT 'version $_[0] ' || modelopt.commit('$_[0]', net($content), 'by $writer in $round');\n";
		};
		$sql .= $commit->('shared') . $commit->('kept');
		# What is rolled back takes no number.
		$sql .= "BEGIN;\nSELECT 'undone ' || modelopt.commit('shared', net($number + 50), 'never');\nROLLBACK;\n" if $round % 3 == 0;
		$sql .= "BEGIN;\n" . $commit->('left') . $commit->('right') . "COMMIT;\n";
		# Two with the same content: each tensor is there once.
		$sql .= "SELECT 'version own$writer ' || modelopt.commit('own$writer', net($round), 'own');\n";
		$sql .= "SELECT 'moved ' || modelopt.alias('shared', 'champion', 'shared');\n";
		$sql .= "SELECT 'back ' || modelopt.rollback('shared', 'champion');\n" if $round % 4 == 0;
	}
	return $sql;
}

my $reads = join '', map { "SELECT 'read ' || look('$_');\n" } ('shared', 'shared@champion', 'kept', 'left', 'right') x $ROUNDS;
my $upkeep = join '', map {
	"SELECT 'gc ' || max(count) FROM modelopt.gc(dry_run => false, grace => '0');\n"
	. "SELECT 'repacked ' || objects FROM modelopt.repack('$_', 1);\n" } ('shared', 'kept') x int($ROUNDS / 2);

my @sessions = map { Session->new('busy') } 1 .. $WRITERS + $READERS + 1;
my @work = ((map { writer_work($_) } 1 .. $WRITERS), ($reads) x $READERS, $upkeep);
$sessions[$_]->start($work[$_]) for 0 .. $#sessions;
my @said = map { $_->finish } @sessions;
$_->quit for @sessions;
my $said = join "\n", @said;

# ---------- what became of it ----------

my @errors = $said =~ /^.*(?:ERROR|FATAL|PANIC|WARNING):.*$/mg;
is("@errors", '', 'nobody met an error');
is(scalar(() = $said =~ /^read good$/mg), $READERS * 5 * $ROUNDS, 'everybody read what somebody wrote');
is(scalar(() = $said =~ /^gc \d+$/mg), 2 * int($ROUNDS / 2), 'gc ran all the while');
cmp_ok(eval { my $n = 0; $n += $_ for $said =~ /^gc (\d+)$/mg; $n }, '>', 0, 'and found something');	# how much, depends on who is faster

for my $name (qw(shared kept left right))
{
	my @numbers = sort { $a <=> $b } $said =~ /^version $name (\d+)$/mg;
	is("@numbers", join(' ', 2 .. $WRITERS * $ROUNDS + 1), "$name: each commit got a number of its own, without gaps");
	is(query('busy', "SELECT count(*), max(version), count(*) FILTER (WHERE parent = '$name#' || version - 1) FROM modelopt.log('$name')"),
		join('|', $WRITERS * $ROUNDS + 1, $WRITERS * $ROUNDS + 1, $WRITERS * $ROUNDS), "$name: every version is there and comes from the one before");
}
is(query('busy', "SELECT DISTINCT count(*) FROM modelopt.versions WHERE model LIKE 'own%' GROUP BY model"), $ROUNDS, 'so it is in models of their own');
is(query('busy', 'SELECT count(*) FROM modelopt.verify()'), '0', 'everything is what was put in');
is(query('busy', 'SELECT count(*) FROM modelopt.audit_verify()'), '0', 'and so is the audit');
is(query('busy', q{SELECT count(*) FROM modelopt.reflog WHERE model = 'shared' AND operation = 'commit'}), $WRITERS * $ROUNDS + 1,
	'the reflog has each move');
is(query('busy', q{SELECT count(*) = count(DISTINCT digest) FROM modelopt_private.object}), 't', 'no tensor is there twice');
is(query('busy', q{SELECT sum(stored_bytes) = (SELECT sum(octet_length(data)) FROM modelopt_private.part) FROM modelopt_private.object}), 't',
	'no part is left over');

# ---------- and back ----------

query('busy', q{SELECT modelopt.gc(dry_run => false, grace => '0')});
is(query('busy', q{SELECT count(*) FROM modelopt.versions WHERE model = 'kept' AND forgotten_at IS NULL}), '2', 'the policy keeps two versions');
is(query('busy', q{SELECT DISTINCT look('kept#' || version) FROM modelopt.versions WHERE model = 'kept' AND forgotten_at IS NULL}), 'good', 'and these can be read');
cmp_ok(query('busy', q{SELECT pg_relation_size('modelopt_private.part')}), '>', 0, 'models take space');
query('busy', 'SELECT modelopt.drop(name) FROM modelopt.models');
query('busy', q{SELECT modelopt.gc(dry_run => false, grace => '0')});
query('busy', 'VACUUM modelopt_private.part');
is(query('busy', q{SELECT pg_relation_size('modelopt_private.part')}), '0', 'which is the disk\'s again when they are dropped');
is(query('busy', q{SELECT count(*) FROM modelopt_private.object}), '0', 'no tensor is left');

done_testing();
