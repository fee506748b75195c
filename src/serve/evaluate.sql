-- How good a model is, on rows of a table.

CREATE FUNCTION evaluate(model model, query text, task text DEFAULT 'auto', labels text[] DEFAULT NULL,
        metrics text[] DEFAULT NULL, output text DEFAULT NULL, scores text DEFAULT 'auto', batch_size integer DEFAULT 1024,
        OUT metric text, OUT value double precision, OUT n bigint) RETURNS SETOF record
    LANGUAGE C STABLE PARALLEL UNSAFE ROWS 5
    AS 'MODULE_PATHNAME', 'modelopt_evaluate';
COMMENT ON FUNCTION evaluate(model, text, text, text[], text[], text, text, integer) IS
    'how good a model''s predictions are on the rows of a query, whose last column is the label and whose others are features as predict_rows() has them. For a classification accuracy, f1 (mean over classes), auc (of the second of two classes; else the mean over classes, each against all others) and log_loss, for a regression r2, mse and mae (means over values when there are several), each as scikit-learn defines it, or those that metrics names; n is how many rows it is of. In the row null_rows value is how many had a null and were left out, and n is how many there are in all. task: classification, regression, or auto: a classification when labels are boolean, text or given by labels, or when they are single numbers and the model gives several values for a row or has names of classes; else a regression. labels has the names of classes in the order of the model''s scores; without it they are the names that the model itself has for what its label output gives, and of a model without such a label is the number of a class, from 0; a boolean is the first or second of two. output: default the first one with floats. scores: probabilities, logits (which a softmax, or for a single one, the second class''s, the logistic function makes probabilities for auc and log_loss), or auto: probabilities when those of the first batch_size rows are between 0 and 1 and add up to 1, and not a single one that the graph shows to be a logit. A score that is NaN makes the row''s class wrong, and auc and log_loss NaN. auc sorts scores, one for each row and class, within work_mem and then in temporary files. Null values are not defined: of no rows, or auc when a class has none. Raises 22023 for labels that are no classes, 38000 when the model fails';

CREATE FUNCTION evaluate(model text, query text, task text DEFAULT 'auto', labels text[] DEFAULT NULL,
        metrics text[] DEFAULT NULL, output text DEFAULT NULL, scores text DEFAULT 'auto', batch_size integer DEFAULT 1024,
        OUT metric text, OUT value double precision, OUT n bigint) RETURNS SETOF record
    LANGUAGE C STABLE PARALLEL UNSAFE ROWS 5
    AS 'MODULE_PATHNAME', 'modelopt_evaluate';
COMMENT ON FUNCTION evaluate(text, text, text, text[], text[], text, text, integer) IS
    'the same with a version of the repository, by a reference; needs the privilege usage; counts as no traffic in statistics and drift';
