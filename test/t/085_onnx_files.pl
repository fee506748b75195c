# ONNX models whose elements are in other files, and models as files.
use strict;
use warnings;

use File::Copy qw(copy);
use FindBin;
use Test::More;

use Session qw(create_database query run_sql);

create_database('onnx_files');
my $DATA = "$FindBin::RealBin/../data";

# The server's user has to get into it.
my $scratch = File::Temp->newdir('modelopt.XXXXXX', TMPDIR => 1);
chmod 0755, "$scratch";
my $folder = "$scratch/models";
mkdir $folder or die $!;

sub slurp
{
	my ($path) = @_;
	open my $file, '<:raw', $path or die "$path: $!";
	local $/ = undef;
	return scalar readline $file;
}

sub spew
{
	my ($path, $bytes) = @_;
	open my $file, '>:raw', $path or die "$path: $!";
	print $file $bytes;
	close $file or die $!;
	chmod 0644, $path;
	return $path;
}

my $model = slurp("$DATA/external.onnx");
my $weights = slurp("$DATA/external.bin");
my $whole = unpack 'H*', slurp("$DATA/digits_mlp.onnx");
spew("$folder/external.bin", $weights);
spew("$folder/perceptron.onnx", $model);

# A file that differs from the model in a piece of text of the same length.
sub changed
{
	my ($from, $to) = @_;
	my $bytes = $model;
	die "$to is not as long as $from" if length $from != length $to;
	$bytes =~ s/\Q$from\E/$to/ or die "there is no $from";
	return spew("$folder/changed.onnx", $bytes);
}

sub load_fails
{
	my ($path, $expect, $title) = @_;
	my ($status, undef, $err) = run_sql('onnx_files', "SELECT model_load('$path')");
	ok($status != 0, "$title is an error");
	return like($err, $expect, "$title: which one");
}

# ---------- files beside the model ----------

query('onnx_files', "CREATE TABLE zoo AS SELECT model_load('$folder/perceptron.onnx') AS m");
is(query('onnx_files', "SELECT model_write(m, 'pytorch') = model_write(model_read('\\x$whole'), 'pytorch') FROM zoo"),
	't', 'weights in a file beside the model are read from there');
is(query('onnx_files', 'SELECT count(*) FROM nodes((SELECT m FROM zoo))'), 5, 'and the graph from the model');
is(query('onnx_files', "SELECT model_read(model_write(m, 'onnx')) = m FROM zoo"), 't', 'it is written with its weights inside');

mkdir "$folder/subdir" or die $!;
spew("$folder/subdir/w.bin", $weights);
is(query('onnx_files', "SELECT model_load('" . changed('external.bin', 'subdir/w.bin') . "', 'onnx') = m FROM zoo"),
	't', 'a file may be in a directory below; where elements were is no part of the model');

my $secret = spew("$scratch/secret.bin", $weights);
symlink $secret, "$folder/linked_b.bin" or die $!;
for my $name ('../secret.bi', '/etc/hosts.x', 'a/../../x.bi')
{
	load_fails(changed('external.bin', $name), qr/ERROR:  22P03: model file names a file that is not beside it/, "\"$name\"");
}
load_fails(changed('external.bin', 'linked_b.bin'), qr/ERROR:  22P03: model file names a file that is not beside it/,
	'a link that leads out of the directory');
load_fails(changed('external.bin', 'nowhere1.bin'), qr/ERROR:  58P01: /, 'a file that is not there');
load_fails(changed('external.bin', '*/_ORT_MEM_/'), qr/ERROR:  22P03: /, 'a place in memory');

load_fails(changed('8192', '8191'), qr/ERROR:  22P03: .*graph\.initializer\[0\] has an external_data length that does not fit/s,
	'a length that does not fit');
load_fails(changed('8320', '9999'), qr/ERROR:  22P03: .*outside of the 11008 bytes/s, 'an offset behind the end');
load_fails(changed('8320', '-832'), qr/ERROR:  22P03: .*has external_data that is no location/s, 'a negative offset');
load_fails(changed('offset', 'basepa'), qr/ERROR:  22P03: .*has external_data that is no location/s, 'an unknown key');
spew("$folder/external.bin", substr($weights, 0, -1));
load_fails("$folder/perceptron.onnx", qr/ERROR:  22P03: .*outside of the 11007 bytes/s, 'a file that is too short');

# ---------- saving ----------

chmod 0777, $folder;
is(query('onnx_files', "SELECT model_save(m, '$folder/saved.onnx') FROM zoo"), -s "$folder/saved.onnx", 'a model is saved');
is(query('onnx_files', "SELECT model_load('$folder/saved.onnx') = m FROM zoo"), 't', 'and loaded as it was');
query('onnx_files', "SELECT model_save(model_read('\\x$whole'), '$folder/saved.onnx')");
ok(slurp("$folder/saved.onnx") eq slurp("$DATA/digits_mlp.onnx"), 'a file whose elements are raw_data is saved as it was');

done_testing();
