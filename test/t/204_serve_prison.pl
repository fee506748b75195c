# What system calls are left to a model that has taken the runner over.
use strict;
use warnings;

use File::Temp ();
use FindBin;
use Test::More;

use Session qw(run_command);

my $ROOT = "$FindBin::RealBin/../..";
my $scratch = File::Temp->newdir('modelopt.XXXXXX', TMPDIR => 1);
my ($status, $out, $err) = run_command('', $ENV{CC} // 'cc', '-std=gnu11', '-Wall', '-Wextra', "-I$ROOT/src", '-o', "$scratch/escape",
	"$ROOT/test/serve/escape.c", "$ROOT/src/serve/runner/prison.c", '-lpthread', '-lseccomp');
is($status, 0, 'there is a program that wants to escape') or diag($out, $err);

# It can write to no file, but to a pipe.
($status, $out, $err) = run_command('', 'bash', '-c', 'set -o pipefail; "$0" | cat', "$scratch/escape");
is($status, 0, 'it is locked in') or diag($out, $err);
for (split /\n/, $out)
{
	my ($result, $expected, $what) = split /\t/;
	is($result, $expected, $what);
}

done_testing();
