# What models did, through exporters and Prometheus: the programs that Debian
# has, with the files that we ship.
use strict;
use warnings;

use Cwd qw(realpath);
use File::Temp ();
use FindBin;
use JSON::PP qw(decode_json);
use Test::More;

use Programs qw(find_program free_port get get_json start_program wait_until);
use Served qw(serve_calls served_server);
use Session qw(run_command);

my ($prometheus, $promtool, $postgres_exporter, $sql_exporter) =
  map { find_program($_) } 'prometheus', 'promtool', 'prometheus-postgres-exporter', 'prometheus-sql-exporter';
plan skip_all => 'there is no Prometheus with promtool and prometheus-postgres-exporter' unless $prometheus && $promtool && $postgres_exporter;

my $SHIPPED = realpath("$FindBin::RealBin/../../monitoring");
my $folder = File::Temp->newdir('modelopt.XXXXXX', TMPDIR => 1);

sub slurp
{
	my ($path) = @_;
	open my $file, '<', $path or die "$path: $!";
	local $/ = undef;
	return readline $file;
}

sub spew
{
	my ($path, $text) = @_;
	open my $file, '>', $path or die "$path: $!";
	print $file $text;
	close $file;
	return;
}

# ---------- the rules by themselves ----------

for my $check ("check config $SHIPPED/prometheus.yml", "check rules $SHIPPED/modelopt.rules.yml", "test rules $FindBin::RealBin/rules.yml")
{
	my ($status, $out, $err) = run_command('', $promtool, split / /, $check);
	is($status, 0, "promtool $check") or diag($out, $err);
}

# ---------- prometheus-postgres-exporter ----------

my $server = served_server();
my $port = free_port();
{
	local $ENV{DATA_SOURCE_NAME} = "host=$server->{folder} port=5432 user=exporter dbname=stats sslmode=disable";
	start_program("$folder/exporter.log", $postgres_exporter, "--extend.query-path=$SHIPPED/postgres_exporter.yml",
		'--disable-default-metrics', '--disable-settings-metrics', "--web.listen-address=127.0.0.1:$port");
}
my $scraped = wait_until('the exporter', sub { my $page = get("http://127.0.0.1:$port/metrics"); $page && $page =~ /^modelopt_predict_calls_total/m ? $page : undef });
my @told = grep { /^modelopt/ } split /\n/, $scraped;

# A sample of the exporter's page, by name and some of its labels.
sub sample
{
	my ($name, @labels) = @_;
	my @found = grep { my $line = $_; $line =~ /^$name\b/ && !grep { index($line, $_) < 0 } @labels } @told;
	return join ' ', map { s/.* //r } @found;
}
my @of = ('datname="stats"', 'model="fraud"', 'version="2"');
is(sample('modelopt_predict_calls_total', @of), '100', 'calls');
is(sample('modelopt_predict_rows_total', @of), '1000', 'rows');
is(sample('modelopt_predict_errors_total', @of, 'class="input"'), '1', 'errors by class');
is(sample('modelopt_predict_errors_total', @of, 'class="model"'), '0', 'also of those that there were none of');
is(sample('modelopt_predict_duration_seconds_bucket', @of, 'le="0.0625"'), '62', 'a real histogram');
is(sample('modelopt_predict_duration_seconds_count', @of), '100', 'of all of them');
like($scraped, qr/^# TYPE modelopt_predict_duration_seconds histogram$/m, 'by its type');
like($scraped, qr/^# TYPE modelopt_predict_calls_total counter$/m, 'and counters are counters');
is(sample('modelopt_model_info', @of, 'active="true"'), '1', 'versions that are referred to, by a role that reads statistics');
is(sample('modelopt_stat_max_entries'), '1000', 'the statistics themselves');
unlike(slurp("$folder/exporter.log"), qr/level=(warn|error)/, 'without a complaint');
my %name = map { /^(\w+)/ ? ($1 => 1) : () } @told;
is_deeply([sort keys %name], [sort(slurp("$SHIPPED/modelopt.collector.yml") =~ /metric_name: (\w+)$/mg)], 'names are those of the collector for the third exporter');

# What a model is really asked gets there as well: y = x1 + 2 x2.
sub predict_rows
{
	my ($n) = @_;
	return $server->query_on('stats', qq{
		SELECT sum((predict('adder', ARRAY[i, 1]::real[]))[1]::bigint) FROM generate_series(1, $n) i});
}
if ($ENV{ONNXRUNTIME_LIBRARY})
{
	$server->query_on('stats', q{
		SELECT modelopt.commit('adder', set_graph(model_agg(name, data ORDER BY name), 'input(2) a:linear b:linear'))
		FROM (VALUES ('a.weight', '{{1,0},{0,2}}'::real[]), ('b.weight', '{{1,1}}')) t (name, data)});
	is(predict_rows(60), 60 * 61 / 2 + 2 * 60, 'a model is asked');
}

# ---------- prometheus-sql-exporter, with the same names ----------

my $sql_port = free_port();
my @targets = qq{  - job_name: modelopt\n    static_configs: [{targets: ["127.0.0.1:$port"]}]\n};
if ($sql_exporter)
{
	my $config = slurp("$SHIPPED/prometheus-sql-exporter.yml");
	$config =~ s{postgres://\S+}{postgres://exporter@/stats?host=$server->{folder}&port=5432&sslmode=disable} or die;
	$config =~ s/interval: 15s/interval: 1s/ or die;
	spew("$folder/sql.yml", $config);
	start_program("$folder/sql.log", $sql_exporter, '-config.file', "$folder/sql.yml", '-web.listen-address', "127.0.0.1:$sql_port");
	# The rules that rename are those that we tell people to use.
	my ($relabel) = slurp("$SHIPPED/prometheus.yml") =~ /(^  #   metric_relabel_configs:\n(?:  # .*\n)+)/m or die;
	$relabel =~ s/^  # /  /mg;
	push @targets, qq{  - job_name: other\n    static_configs: [{targets: ["127.0.0.1:$sql_port"]}]\n$relabel};
}

# ---------- burningalchemist's sql_exporter, where somebody has installed it ----------

SKIP:
{
	my $collecting = find_program('sql_exporter') or skip 'there is no sql_exporter', 4;
	my $collector_port = free_port();
	spew("$folder/collecting.yml", <<"YAML");
global: {scrape_timeout: 10s, min_interval: 0s, max_connections: 1}
target: {data_source_name: 'postgres://exporter\@$server->{folder}/stats?sslmode=disable', collectors: [modelopt]}
collector_files: ['$SHIPPED/modelopt.collector.yml']
YAML
	start_program("$folder/collecting.log", $collecting, "-config.file=$folder/collecting.yml", "-web.listen-address=127.0.0.1:$collector_port");
	my $page = wait_until('sql_exporter', sub { my $page = get("http://127.0.0.1:$collector_port/metrics"); $page && $page =~ /^modelopt_predict_calls_total/m ? $page : undef });
	@told = grep { /^modelopt/ } split /\n/, $page;
	is(sample('modelopt_predict_calls_total', @of), '100', 'calls, by sql_exporter');
	is(sample('modelopt_predict_duration_seconds_bucket', @of, 'le="0.0625"'), '62', 'buckets of the histogram');
	is(sample('modelopt_predict_duration_seconds_bucket', @of, 'le="+Inf"'), '100', 'the last of which has all');
	is_deeply([sort keys %{ { map { /^(\w+)/ ? ($1 => 1) : () } @told } }], [sort keys %name], 'with the same names');
}

# ---------- Prometheus ----------

my $rules = slurp("$SHIPPED/modelopt.rules.yml");
spew("$folder/modelopt.rules.yml", $rules);
spew("$folder/prometheus.yml", "global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [modelopt.rules.yml]\nscrape_configs:\n" . join '', @targets);
my $web = free_port();
start_program("$folder/prometheus.log", $prometheus, "--config.file=$folder/prometheus.yml", "--storage.tsdb.path=$folder/data",
	"--web.listen-address=127.0.0.1:$web");
my $API = "http://127.0.0.1:$web/api/v1";

# The values of a query's series, each with the labels asked for before it.
sub ask
{
	my ($query, @labels) = @_;
	my $answer = get_json("$API/query", query => $query) or return '';
	return "error: $answer->{error}" if $answer->{status} ne 'success';
	return join "\n", sort map { my $series = $_; join '|', (map { $series->{metric}{$_} // '' } @labels), $series->{value}[1] } @{ $answer->{data}{result} };
}

# What a query says comes to be what is wanted: what was scraped or reckoned last
# may be from before it.
sub comes_to
{
	my ($query, $labels, $wanted, $name) = @_;
	my $told;
	eval { wait_until($name, sub { $told = ask($query, @$labels); $told eq $wanted || (!@$labels && close_to($told =~ s/\n.*//sr, $wanted)) }); 1 }
	  or diag("got: $told\nwanted: $wanted");
	return ok(!$@, $name);
}

sub close_to
{
	my ($number, $wanted) = @_;
	return $number =~ /^[-+.\de]+$/ && $wanted =~ /^[-+.\de]+$/ && abs($number - $wanted) <= 1e-6 * abs $wanted;
}

wait_until('a scrape', sub { ask('modelopt_predict_calls_total{job="modelopt",version="2"}') eq '100' });
comes_to('modelopt_predict_calls_total{job="modelopt",model="fraud"}', ['datname', 'model', 'version'], "stats|fraud|1|1\nstats|fraud|2|100", 'calls of each version');
# 62 took no longer than 62.5 ms and all of them no longer than 125 ms.
my $p99 = 0.0625 + (99 - 62) / (100 - 62) * 0.0625;
my $P99 = 'histogram_quantile(0.99, modelopt_predict_duration_seconds_bucket{job="modelopt",version="2"})';
comes_to($P99, [], $p99, 'the 99th percentile');
# A tenth of the reference is in each bin; moved by four bins, four are empty and the last one has five, smoothed by half a row.
my $psi = 0;
$psi += (($_ + 0.5) / 1005 - 0.1) * log((($_ + 0.5) / 1005) / 0.1) for (0) x 4, (100) x 5, 500;
comes_to('modelopt_drift_score{job="modelopt",feature="amount",metric="psi"}', [], $psi, 'PSI of a feature that is 400 more');
comes_to('modelopt_drift_score{job="modelopt",feature="age",metric="psi"}', [], '0', 'and of one that is the same');
comes_to('modelopt_drift_drifted_features{job="modelopt"}', ['model', 'version'], "fraud|1|0\nfraud|2|1", 'how many drift');
comes_to('modelopt_drift_features{job="modelopt"}', ['model', 'version'], "fraud|1|0\nfraud|2|2", 'of how many: none of a version that has no reference');

SKIP:
{
	skip 'there is no ONNX Runtime', 3 unless $ENV{ONNXRUNTIME_LIBRARY};
	comes_to('modelopt_predict_rows_total{job="modelopt",model="adder"}', ['version'], '1|60', 'rows of a model that was asked');
	like(ask('modelopt_predict_duration_seconds_count{job="modelopt",model="adder"} == on (model, version) modelopt_predict_calls_total{job="modelopt",model="adder"}', 'model'),
		qr/^adder\|[1-9]/, 'each invocation has a duration');
	cmp_ok(ask('modelopt_predict_phase_seconds_total{job="modelopt",model="adder",phase="infer"}'), '>', 0, 'some of which the runtime took');
}

# What happens between two scrapes: every call once more.
serve_calls($server);
comes_to('modelopt:predict_duration_seconds:p99_rate5m{version="2"}', [], $p99, 'the recording rule of the 99th percentile has those of now');
comes_to('max by (model, version, alertstate) (ALERTS{alertname="ModeloptDrift"})', ['model', 'version', 'alertstate'], 'fraud|2|pending|1', 'drift is about to be an alert');
comes_to('modelopt:predict_errors:ratio_rate5m{version="2"}', [], 1 / 101, 'one of 101 failed');
is(ask('modelopt:predict_calls:rate5m{version="9"}'), '', 'what is not there is not there');
my @unhealthy = grep { $_->{health} ne 'ok' } map { @{ $_->{rules} } } @{ get_json("$API/rules")->{data}{groups} };
is_deeply([map { "$_->{name}: $_->{lastError}" } @unhealthy], [], 'no rule fails');

SKIP:
{
	skip 'there is no prometheus-sql-exporter', 4 unless $sql_exporter;
	wait_until('the other exporter', sub { ask('modelopt_predict_calls_total{job="other",version="2"}') eq '200' });
	comes_to('histogram_quantile(0.99, modelopt_predict_duration_seconds_bucket{job="other",version="2"})', [], $p99, 'the 99th percentile of prometheus-sql-exporter');
	my $names = get_json("$API/label/__name__/values", 'match[]' => '{job="other"}');
	is_deeply([grep { /^modelopt_/ } @{ $names->{data} }], [sort keys %name], 'has the same names');
	comes_to('modelopt_predict_errors_total{job="other",version="2",class="input"}', ['datname', 'model'], 'stats|fraud|2', 'and labels');
	my ($series) = @{ get_json("$API/query", query => 'modelopt_predict_errors_total{job="other",version="2",class="input"}')->{data}{result} };
	is(join(' ', sort keys %{ $series->{metric} }), '__name__ class datname instance job model version', 'and no others');
}

# ---------- the dashboard ----------

my $dashboard = decode_json(slurp("$SHIPPED/grafana/modelopt-prometheus.json"));
my %value = (datasource => 'ours', instance => '.*', datname => 'stats', model => 'fraud', version => '.*', __rate_interval => '1m', __range => '5m', __interval => '1m');
for my $variable (grep { $_->{type} eq 'query' } @{ $dashboard->{templating}{list} })
{
	my ($label) = $variable->{query}{query} =~ /^label_values\((?:.*), *(\w+)\)$/ or die;
	my ($series) = $variable->{query}{query} =~ /^label_values\((.*), *\w+\)$/;
	$series =~ s/\$(\w+)/$value{$1}/g;
	my $values = get_json("$API/label/$label/values", 'match[]' => $series);
	cmp_ok(scalar @{ $values->{data} }, '>', 0, "the variable $variable->{name} has values");
}
for my $panel (grep { $_->{targets} } @{ $dashboard->{panels} })
{
	for my $target (@{ $panel->{targets} })
	{
		my $query = $target->{expr};
		$query =~ s/\$\{?(\w+)\}?/$value{$1} \/\/ die "what is \$$1 in $panel->{title}?"/ge;
		my $answer;
		eval { wait_until('an answer', sub { $answer = get_json("$API/query", query => $query); @{ $answer->{data}{result} // [] } || $answer->{status} ne 'success' }) };
		is($answer->{status}, 'success', "the panel \"$panel->{title}\" asks $target->{refId}") or diag($query, ': ', $answer->{error});
		cmp_ok(scalar @{ $answer->{data}{result} // [] }, '>', 0, 'and gets an answer') or diag($query);
	}
}

done_testing();
