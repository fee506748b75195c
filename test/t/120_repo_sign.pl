# Signatures are made outside of the database, by the openssl program, and
# checked in it; and the other way round.
use strict;
use warnings;

use File::Temp ();
use Test::More;

use Session qw(create_database query run_sql run_command);

plan skip_all => 'there is no openssl program' if system 'command -v openssl >/dev/null 2>&1';
my $scratch = File::Temp->newdir;

sub openssl
{
	my ($status, $out, $err) = run_command('', 'openssl', @_);
	die "openssl @_: $err" if $status;
	return;
}

sub spew
{
	my ($name, $bytes) = @_;
	open my $file, '>:raw', "$scratch/$name" or die $!;
	print $file $bytes;
	close $file;
	return "$scratch/$name";
}

sub slurp
{
	open my $file, '<:raw', "$scratch/$_[0]" or die $!;
	local $/ = undef;
	return scalar readline $file;
}

# A key pair, of which the public half is registered.
sub make_key
{
	my ($name) = @_;
	openssl('genpkey', '-algorithm', 'ED25519', '-out', "$scratch/$name.pem");
	openssl('pkey', '-in', "$scratch/$name.pem", '-pubout', '-out', "$scratch/$name.pub");
	query('signed', "SELECT modelopt.register_key('$name', '\\x" . unpack('H*', slurp("$name.pub")) . "')");
	return;
}

# A signature of a version, in hexadecimal, made as a user would.
sub signature
{
	my ($key, $ref) = @_;
	spew('manifest', query('signed', "SELECT modelopt.manifest('$ref')"));
	openssl('pkeyutl', '-sign', '-rawin', '-in', "$scratch/manifest", '-inkey', "$scratch/$key.pem", '-out', "$scratch/signature");
	return unpack 'H*', slurp('signature');
}

sub sign
{
	my ($key, $ref) = @_;
	return query('signed', "SELECT modelopt.sign('$ref', '$key', '\\x" . signature($key, $ref) . "')");
}

create_database('signed');
query('signed', q{
	SELECT modelopt.commit('fraud', model_agg('größe', '{1,2,3}'), 'as trained', params => '{"lr": 1e-3, "für": "alle"}');
	SELECT modelopt.commit('fraud', model_set_metadata(model_agg('größe', '{1,2,4}'), '{"a": 1}'), 'better')});
make_key($_) for 'release', 'review';

is(sign('release', 'fraud#1'), 'fraud#1', 'a version is signed');
is(sign('release', 'fraud'), 'fraud#2', 'and another');
is(sign('review', 'fraud#2'), 'fraud#2', 'by two keys');
is(query('signed', q{SELECT key, valid, reason IS NULL FROM modelopt.verify_signature('fraud') ORDER BY 1}),
	"release|t|t\nreview|t|t", 'their signatures are valid');
is(query('signed', q{SELECT key, valid FROM modelopt.verify_signature('fraud#2', 'review')}), 'review|t', 'as is that of one');
is(query('signed', q{SELECT model, version, key, octet_length(signature) FROM modelopt.signatures ORDER BY 2, 3}),
	"fraud|1|release|64\nfraud|2|release|64\nfraud|2|review|64", 'the view shows them');

# What the database has is enough to check it elsewhere.
spew('manifest', query('signed', q{SELECT modelopt.manifest('fraud#2')}));
spew('signature', pack 'H*', query('signed', q{SELECT encode(signature, 'hex') FROM modelopt.signatures WHERE version = 2 AND key = 'review'}));
spew('review.raw', pack('H*', '302a300506032b6570032100' . query('signed', q{SELECT encode(public_key, 'hex') FROM modelopt.signing_keys WHERE name = 'review'})));
openssl('pkeyutl', '-verify', '-rawin', '-in', "$scratch/manifest", '-pubin', '-keyform', 'DER', '-inkey', "$scratch/review.raw",
	'-sigfile', "$scratch/signature");
pass('openssl verifies manifest, signature and key from the database');
like(query('signed', q{SELECT modelopt.manifest('fraud#2')}), qr/^\{"_type":"https:\/\/in-toto\.io\/Statement\/v1".*"name":"größe"\}\]\}$/,
	'a manifest is UTF-8');

# Refused: of another version, by another key, twice.
sub refusal
{
	my ($status, $out, $err) = run_sql('signed', @_);
	return $err;
}
my $other = signature('release', 'fraud#1');
like(refusal("SELECT modelopt.sign('fraud#2', 'release', '\\x$other')"), qr/ERROR:  22023: signature is not one of fraud#2 by key "release"/,
	'a signature of another version');
like(refusal("SELECT modelopt.sign('fraud#1', 'review', '\\x$other')"), qr/ERROR:  22023: signature is not one of fraud#1 by key "review"/,
	'a signature by another key');
like(refusal("SELECT modelopt.sign('fraud#1', 'release', '\\x$other')"), qr/ERROR:  42710: fraud#1 is signed by key "release" already/, 'signing twice');
like(refusal("SELECT modelopt.register_key('secret', '\\x" . unpack('H*', slurp('release.pem')) . "')"), qr/ERROR:  22023: this is a private key/,
	'a private key as openssl writes it');

# Who may.
query('signed', q{CREATE ROLE signer; CREATE ROLE watcher; SELECT modelopt.grant_write('fraud', 'signer'), modelopt.grant_usage('fraud', 'watcher')});
query('signed', q{SELECT modelopt.commit('fraud', model_agg('w', '{1}'), 'third')});
my $third = signature('review', 'fraud#3');
like(refusal("SET ROLE watcher; SELECT modelopt.sign('fraud', 'review', '\\x$third')"), qr/ERROR:  42501: /, 'usage is not enough to sign');
is(query('signed', "SET ROLE signer; SELECT modelopt.sign('fraud', 'review', '\\x$third')"), 'fraud#3', 'write is');
is(query('signed', q{SET ROLE watcher; SELECT key, valid FROM modelopt.verify_signature('fraud')}), 'review|t', 'usage is enough to verify');
is(query('signed', q{SELECT actor, details ->> 'version', details ->> 'key' FROM modelopt.audit WHERE operation = 'sign' ORDER BY number DESC LIMIT 1}),
	'signer|fraud#3|review', 'the audit tells who signed');

# What is not signed changes as it likes.
query('signed', q{SELECT modelopt.tag('fraud#2', 'v1'), modelopt.log_metric('fraud#2', 'auc', 0.9), modelopt.rename('fraud', 'fraude')});
is(query('signed', q{SELECT bool_and(valid) FROM modelopt.verify_signature('fraude#2')}), 't', 'names, tags and metrics are not signed');

# What is signed does not, not even by those who may change every row.
sub verdict_after
{
	my ($change, $ref) = @_;
	return query('signed', "BEGIN; SET LOCAL session_replication_role = replica; $change;
		SELECT bool_or(valid), string_agg(DISTINCT reason, ' ') FROM modelopt.verify_signature('$ref'); ROLLBACK");
}
my $CHANGED = qr/^f\|(the signature does not fit what the repository has of the version now|what the repository has of the version is damaged)$/;
my $SECOND = 'version = 2 AND model_id = (SELECT min(id) FROM modelopt_private.named_model)';
is(verdict_after("SET LOCAL application_name = 'x'", 'fraude#2'), 't|', 'without a change it is valid');
for my $change ("message = 'x'", "author = 'x'", q(params = '{"lr": 1}'), "committed_at = committed_at + interval '1 us'", 'version = 9',
	"full_recipe = '[{}]'", 'tree_id = (SELECT min(tree_id) FROM modelopt_private.version)')
{
	like(verdict_after("UPDATE modelopt_private.version SET $change WHERE $SECOND", $change =~ /^version/ ? 'fraude#9' : 'fraude#2'), $CHANGED, "changed: $change");
}
my $TREE = "(SELECT tree_id FROM modelopt_private.version WHERE $SECOND)";
for my $change ("DELETE FROM modelopt_private.version_parent WHERE version_id = (SELECT id FROM modelopt_private.version WHERE $SECOND)",
	"UPDATE modelopt_private.tree_entry SET name = 'x' WHERE tree_id = $TREE",
	"UPDATE modelopt_private.tree_entry SET shape = '{3,1}' WHERE tree_id = $TREE",
	"UPDATE modelopt_private.object SET content = sha256(content) WHERE id = (SELECT object_id FROM modelopt_private.tree_entry WHERE tree_id = $TREE)",
	"UPDATE modelopt_private.tree SET metadata_id = NULL WHERE id = $TREE",
	"UPDATE modelopt_private.signature SET signature = decode(repeat('00', 64), 'hex')")
{
	like(verdict_after($change, 'fraude#2'), $CHANGED, substr $change, 0, 70);
}

# The end of a key.
query('signed', q{SELECT modelopt.revoke_key('review', 'lost')});
is(query('signed', q{SELECT key, valid, reason FROM modelopt.verify_signature('fraude#2') ORDER BY 1}), "release|t|\nreview|f|the key was revoked",
	'signatures of a revoked key are not valid, others are');
is(query('signed', 'SELECT count(*) FROM modelopt.audit_verify()'), 0, 'the audit fits');

# What gc took cannot be checked any more.
query('signed', q{SELECT modelopt.retention('fraude', keep_last => 1)});
query('signed', q{SELECT modelopt.gc(dry_run => false, grace => '0')});
is(query('signed', q{SELECT key, valid, reason FROM modelopt.verify_signature('fraude#1')}), 'release|f|the content of the version is gone',
	'a version without content has no valid signature');
like(refusal(q{SELECT modelopt.manifest('fraude#1')}), qr/ERROR:  55000: content of .*is gone/, 'and no manifest');

# Signatures go with their model.
query('signed', q{SELECT modelopt.drop('fraude')});
is(query('signed', 'SELECT count(*) FROM modelopt.signatures'), 0, 'and end with it');

query('signed', 'DROP ROLE signer; DROP ROLE watcher');
done_testing();
