# A model that was found but not read yet stays what it was, whatever others do
# to its row meanwhile: its weights lie in TOAST and are read when asked for.
use strict;
use warnings;

use Test::More;

use Session qw(create_database query);

create_database('lazy');
query('lazy', q{
	CREATE TABLE zoo (id int PRIMARY KEY, m model);
	CREATE FUNCTION big(first real) RETURNS model LANGUAGE sql AS
	$$ SELECT model_agg('w' || t, array_fill((first + t)::real, '{60000}') ORDER BY t) FROM generate_series(1, 3) t $$;
	INSERT INTO zoo SELECT i, big(i * 10) FROM generate_series(1, 4) i;
	CREATE FUNCTION firsts(m model) RETURNS text LANGUAGE sql AS
	$$ SELECT string_agg((tensor(m, 'w' || t))[1]::text, ' ' ORDER BY t) FROM generate_series(1, 3) t $$;
});

my ($reader, $writer) = map { Session->new('lazy') } 1 .. 2;
my $VACUUM = 'VACUUM zoo; VACUUM zoo';

# ---------- an open snapshot ----------

$reader->run('BEGIN ISOLATION LEVEL REPEATABLE READ');
is($reader->run('SELECT firsts(m) FROM zoo WHERE id = 1'), '11 12 13', 'a reader sees the model');
is($writer->run(q{UPDATE zoo SET m = big(100) WHERE id = 1}), '', 'another session replaces it');
is($writer->run('DELETE FROM zoo WHERE id = 2'), '', 'and deletes the next');
$writer->run($VACUUM);
is($writer->run('SELECT firsts(m) FROM zoo WHERE id = 1'), '101 102 103', 'the writer sees its own');
is($reader->run('SELECT firsts(m) FROM zoo WHERE id = 1'), '11 12 13', 'the reader still sees the old one');
is($reader->run('SELECT firsts(m) FROM zoo WHERE id = 2'), '21 22 23', 'and the deleted one');
$reader->run('COMMIT');
is($reader->run('SELECT firsts(m) FROM zoo WHERE id = 2'), '', 'until its transaction ends');

# ---------- a cursor ----------

$reader->run('BEGIN');
$reader->run(q{DECLARE c CURSOR FOR SELECT firsts(model_set(m, 'w1', array_fill(0.0::real, '{60000}'))) FROM zoo WHERE id = 3});
$writer->run('UPDATE zoo SET m = big(200) WHERE id = 3');
$writer->run($VACUUM);
is($reader->run('FETCH c'), '0 32 33', 'a cursor gives what was there when it was opened');
$reader->run('COMMIT');

$reader->run('BEGIN');
$reader->run(q{DECLARE h CURSOR WITH HOLD FOR SELECT model_set(m, 'w1', array_fill(0.0::real, '{60000}')) AS m FROM zoo WHERE id = 3});
$reader->run('COMMIT');
$writer->run('UPDATE zoo SET m = big(300) WHERE id = 3');
$writer->run($VACUUM);
$reader->run('FETCH h \gset');
is($reader->run(q{SELECT firsts(:'m')}), '0 202 203', 'a held cursor keeps its models past the commit');
$reader->run('CLOSE h');

# ---------- a variable ----------

# Between the parts of the procedure the other session deletes the row.
query('lazy', q{
	CREATE PROCEDURE holds(ending text) LANGUAGE plpgsql AS
	$$
	DECLARE
		v model;
	BEGIN
		SELECT model_set(m, 'w1', array_fill(0.0::real, '{60000}')) INTO v FROM zoo WHERE id = 4;
		IF ending = 'commit' THEN COMMIT; ELSE ROLLBACK; END IF;
		PERFORM pg_advisory_lock(1);	-- waits for the other session
		RAISE NOTICE 'firsts %', firsts(v);
	END
	$$;
});
for my $ending ('commit', 'rollback')
{
	$writer->run('SELECT pg_advisory_lock(1)');
	my $caller = Session->new('lazy');
	$caller->start("CALL holds('$ending')");
	1 until $writer->run(q{SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory'}) eq '1';
	$writer->run('DELETE FROM zoo WHERE id = 4');
	$writer->run($VACUUM);
	$writer->run('SELECT pg_advisory_unlock(1)');
	my $said = $caller->finish;
	like($said, qr/firsts 0 42 43/, "a variable keeps its weights past a $ending, though the row is gone");
	$writer->run('INSERT INTO zoo SELECT 4, big(40)');
	$caller->quit;
}

# A block that fails lets go of its lock on the table, but not of the weights
# that it found.
query('lazy', q{
	CREATE TABLE other AS SELECT big(70) AS m;
	CREATE FUNCTION found() RETURNS model LANGUAGE plpgsql AS
	$$ DECLARE v model; BEGIN SELECT m INTO v FROM other; RETURN model_set(v, 'w1', array_fill(0.0::real, '{60000}')); END $$;
	CREATE PROCEDURE outlives() LANGUAGE plpgsql AS
	$$
	DECLARE
		v model;
	BEGIN
		BEGIN
			v := found();
			PERFORM 1 / 0;
		EXCEPTION WHEN division_by_zero THEN
			NULL;
		END;
		PERFORM pg_advisory_lock(1);	-- waits for the other session
		RAISE NOTICE 'firsts %', firsts(v);
	END
	$$;
});
for my $case (
	[ 'DELETE FROM other', qr/firsts 0 72 73/, 'weights found in a block that failed outlive their rows' ],
	[ 'TRUNCATE other', qr/ERROR:  55000: .*no longer available/, 'and are gone with the whole table, in words' ],
	[ 'DROP TABLE other', qr/ERROR:  55000: .*no longer available/, 'however that goes' ])
{
	my ($sql, $expected, $title) = @$case;
	$writer->run('SELECT pg_advisory_lock(1)');
	my $caller = Session->new('lazy');
	$caller->start('CALL outlives()');
	1 until $writer->run(q{SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory'}) eq '1';
	is($writer->run($sql), '', "meanwhile: $sql");
	$writer->run('VACUUM other; VACUUM other') if $sql =~ /DELETE/;
	$writer->run('SELECT pg_advisory_unlock(1)');
	like($caller->finish, $expected, $title);
	$writer->run('INSERT INTO other SELECT big(70)') unless $sql =~ /DROP/;
	$caller->quit;
}

# ---------- savepoints ----------

$reader->run('BEGIN');
$reader->run('SAVEPOINT s');
$reader->run('UPDATE zoo SET m = big(500) WHERE id = 4');
is($reader->run('SELECT firsts(m) FROM zoo WHERE id = 4'), '501 502 503', 'an update within a savepoint is seen');
$reader->run('ROLLBACK TO s');
is($reader->run('SELECT firsts(m) FROM zoo WHERE id = 4'), '41 42 43', 'and is gone after rolling back to it');
$reader->run('UPDATE zoo SET m = prune(m, 0.5) WHERE id = 4');
$reader->run('ROLLBACK');
is($reader->run('SELECT firsts(m) FROM zoo WHERE id = 4'), '41 42 43', 'as is a pruned one after ROLLBACK');

# ---------- a row in both old and new form ----------

is($writer->run(q{
	CREATE TABLE history (was model, is_now model);
	CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS
	$$ BEGIN INSERT INTO history VALUES (OLD.m, NEW.m); RETURN NEW; END $$;
	CREATE TRIGGER keep BEFORE UPDATE ON zoo FOR EACH ROW EXECUTE FUNCTION keep()}), '', 'a trigger that keeps both');
$writer->run(q{UPDATE zoo SET m = model_set(m, 'w2', array_fill(7.0::real, '{60000}')) WHERE id = 4});
is($writer->run('SELECT firsts(was), firsts(is_now) FROM history'), '41 42 43|41 7 43', 'a trigger sees the old and the new model');
$writer->run($VACUUM);
is($writer->run('SELECT count(*) FROM history JOIN zoo ON m = is_now'), '1', 'and both are copies of their own');

# Whatever was asked above, nobody met a missing chunk or crashed.
is(query('lazy', q{SELECT count(*) FROM zoo WHERE model(bytea(m)) = m}), query('lazy', 'SELECT count(*) FROM zoo'), 'all models are whole');
$_->quit for $reader, $writer;

done_testing();
