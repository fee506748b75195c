# What the catalogs say of the extension's objects.
use strict;
use warnings;

use Test::More;

use Session qw(create_database query);

create_database('catalog');

# Each object that belongs to the extension, by name.
my $MEMBERS = q{
	SELECT classid, objid, pg_describe_object(classid, objid, 0) AS what
	FROM pg_depend WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
	AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'modelopt')};
# Functions of a value, of the repository, and all that people may call.
my $ALL = qq{SELECT p.* FROM pg_proc p JOIN ($MEMBERS) e ON classid = 'pg_proc'::regclass AND objid = p.oid};
my $FUNCTIONS = qq{SELECT * FROM ($ALL) a WHERE pronamespace = 'public'::regnamespace};
# Those that run models, and of them those that run a query.
my $RUNS = q{proname ~ '^(predict|classify|evaluate|calibrate|sensitivity|optimize)'};
my $QUERIES = q{proname ~ '^(predict_rows|classify_rows|evaluate|calibrate|sensitivity|optimize)'};
my $VERBS = qq{SELECT * FROM ($ALL) a WHERE pronamespace = 'modelopt'::regnamespace};
my $BODIES = qq{SELECT * FROM ($ALL) a WHERE pronamespace = 'modelopt_private'::regnamespace};

cmp_ok(query('catalog', "SELECT count(*) FROM ($FUNCTIONS) f"), '>', 25, 'the extension has functions');
cmp_ok(query('catalog', "SELECT count(*) FROM ($VERBS) f"), '>', 25, 'and so has the repository');
is(query('catalog', qq{
	SELECT DISTINCT pronamespace::regnamespace FROM ($ALL) a ORDER BY 1}), "public\nmodelopt\nmodelopt_private", 'in three schemas');

is(query('catalog', qq{
	SELECT what FROM ($MEMBERS) e
	WHERE (classid IN ('pg_proc'::regclass, 'pg_type'::regclass, 'pg_operator'::regclass, 'pg_namespace'::regclass)
		OR what LIKE 'view %')
	AND obj_description(objid, classid::regclass::name) IS NULL
	AND what NOT LIKE 'type %[]' AND what !~ '^(function|type) modelopt_private\\.'
	AND NOT (classid = 'pg_type'::regclass AND what LIKE 'type modelopt.%') ORDER BY 1}), '',
	'every function, type, operator, schema and view that people see has a comment');
is(query('catalog', qq{
	SELECT v.oid::regprocedure FROM ($VERBS) v LEFT JOIN ($BODIES) b ON b.proname = v.proname AND b.proargtypes = v.proargtypes
	WHERE v.prosrc = 'modelopt_gate' AND (b.oid IS NULL OR b.provolatile <> v.provolatile OR b.proisstrict <> v.proisstrict
		OR b.prorettype <> v.prorettype OR b.proargnames IS DISTINCT FROM v.proargnames)}), '', 'every gate leads to a function that is like it');
is(query('catalog', qq{SELECT oid::regprocedure FROM ($ALL) a WHERE prosecdef}), '', 'no function is SECURITY DEFINER');

is(query('catalog', qq{SELECT oid::regprocedure FROM ($FUNCTIONS) f WHERE provolatile <> 'i' AND NOT $RUNS ORDER BY 1}),
	"model_load(text,text,text,boolean,boolean)\nmodel_save(model,text,text,text)\ninputs(text)\noutputs(text)",
	'every function of a model value is immutable, and those of files and of names are not');
is(query('catalog', qq{
	SELECT oid::regprocedure FROM ($FUNCTIONS) f WHERE $RUNS AND prokind = 'f' AND provolatile <> 's'
	AND oid::regprocedure::text NOT LIKE 'optimize(text,%'}), '',
	'what runs a model is stable, but for what commits one');
is(query('catalog', qq{
	SELECT oid::regprocedure FROM ($FUNCTIONS) f WHERE $RUNS AND proparallel <> 's' AND NOT $QUERIES}), '',
	'and safe in parallel workers, but for what runs a query');
is(query('catalog', qq{
	SELECT oid::regprocedure FROM ($FUNCTIONS) f WHERE $QUERIES AND proparallel <> 'u'}), '',
	'which may write, or call what may not be in a parallel query at all');
is(query('catalog', qq{SELECT oid::regprocedure FROM ($FUNCTIONS) f WHERE proparallel <> 's' AND NOT $RUNS}),
	'model_save(model,text,text,text)', 'what does not write is safe in parallel workers');

# Null in, null out; what takes a null as "not given" is not strict and says so
# by having that default.
is(query('catalog', qq{
	SELECT oid::regprocedure FROM ($FUNCTIONS) f
	WHERE NOT proisstrict AND prokind = 'f' AND pg_get_function_arguments(oid) !~ 'DEFAULT NULL'
	AND proname NOT LIKE 'model\\_agg\\_%fn' AND proname NOT LIKE 'model\\_set%'
	AND proname NOT LIKE 'predict\\_batch\\_%' AND proname NOT LIKE 'optimize\\_%'
	AND proname NOT IN ('set_graph', 'cut_layers', 'cut_layers_dry_run')}), '',
	'functions are strict unless null is one of their defaults, or would make an end of a model');

is(query('catalog', qq{
	SELECT oid::regprocedure FROM ($ALL) f
	WHERE prolang = (SELECT oid FROM pg_language WHERE lanname = 'c') AND prosrc NOT LIKE 'modelopt\\_%'}), '',
	'C symbols carry the name of the module');

is(query('catalog', qq{
	SELECT oid::regprocedure FROM ($FUNCTIONS) f
	WHERE pronargs > 2 AND proname NOT LIKE 'predict\\_batch\\_%' AND NOT coalesce(proargnames[1:pronargs], '{}') <> '{}' AND prokind = 'f'}), '',
	'arguments that one would have to count have names');

# What a bare literal could mean must not be in doubt.
is(query('catalog', q{SELECT num_parameters(prune(model_agg('w', '{{1,2},{3,4}}'), 0.5))}), 4, 'prune(m, 0.5) is unambiguous');

is(query('catalog', q{
	SELECT typlen, typbyval, typcategory, typstorage, typalign, typdelim FROM pg_type WHERE oid = 'model'::regtype}),
	'-1|f|U|e|d|,', 'the type is stored EXTERNAL, aligned to 8');
is(query('catalog', q{
	SELECT castsource::regtype, casttarget::regtype, castcontext FROM pg_cast
	WHERE 'model'::regtype IN (castsource, casttarget) ORDER BY 1}),
	"bytea|model|e\nmodel|bytea|e", 'its casts are explicit ones, and no others');
is(query('catalog', q{
	SELECT amname, opcname, opcdefault FROM pg_opclass JOIN pg_am a ON a.oid = opcmethod
	WHERE opcintype = 'model'::regtype}), 'hash|model_ops|t', 'it hashes, and does not sort');
is(query('catalog', q{SELECT amvalidate(oid) FROM pg_opclass WHERE opcintype = 'model'::regtype}), 't', 'the operator class is valid');

is(query('catalog', q{SELECT extversion, extrelocatable FROM pg_extension WHERE extname = 'modelopt'}), '0.1.0|f', 'version and relocation');
is(query('catalog', q{SELECT superuser, trusted FROM pg_available_extension_versions WHERE name = 'modelopt'}), 't|t', 'it is trusted');
is(query('catalog', qq{
	SELECT string_agg(DISTINCT classid::regclass::text, ' ' ORDER BY classid::regclass::text) FROM ($MEMBERS) e}),
	'pg_cast pg_class pg_namespace pg_opclass pg_operator pg_opfamily pg_proc pg_type', 'it makes no roles, settings or event triggers');
is(query('catalog', qq{
	SELECT what FROM ($MEMBERS) e JOIN pg_class c ON classid = 'pg_class'::regclass AND c.oid = objid
	WHERE NOT (relkind IN ('r', 'S') AND relnamespace = 'modelopt_private'::regnamespace OR relkind = 'v' AND relnamespace = 'modelopt'::regnamespace)}), '',
	'tables and sequences are private, and views are not');
is(query('catalog', qq{
	SELECT what FROM ($MEMBERS) e JOIN pg_class c ON classid = 'pg_class'::regclass AND c.oid = objid AND relkind IN ('r', 'S')
	WHERE NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'modelopt' AND objid = ANY (extconfig))}), '', 'pg_dump keeps them all');
# What pg_upgrade cannot keep as it is.
is(query('catalog', q{
	SELECT attrelid::regclass, attname FROM pg_attribute JOIN pg_class c ON c.oid = attrelid AND relkind = 'r'
	WHERE relnamespace = 'modelopt_private'::regnamespace AND attnum > 0 AND NOT attisdropped AND atttypid::regtype::text LIKE 'reg%'}), '',
	'and rows name no objects of the catalogs by number');

done_testing();
