# What others make of the same matrices: scikit-learn's logistic regression, XGBoost and a tf-idf centroid. Called by lookalike.ts with a folder: of each task
# offsets, features (rows as they are in memory) and labels; writes one file of scores for each ranker beside them.
#   apt-get install python3-sklearn python3-xgboost

import json
import os
import sys
import time

import numpy as np
import scipy.sparse as sp
import xgboost as xgb
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression

folder = sys.argv[1]
with open(os.path.join(folder, 'tasks.json')) as file:
    tasks = json.load(file)


def regression(matrix, labels):
    return LogisticRegression(C=0.3, max_iter=300).fit(matrix, labels).decision_function(matrix)


def boosted(matrix, labels):
    data = xgb.DMatrix(matrix, label=labels)
    settings = dict(max_depth=6, eta=0.1, objective='binary:logistic', nthread=1)
    return xgb.train(settings, data, 120).predict(data, output_margin=True)


def centroid(matrix, labels):
    vectors = TfidfTransformer().fit_transform(matrix)
    return np.asarray(vectors @ vectors[labels == 1].mean(axis=0).T).ravel()


RANKERS = {'sklearn_regression': regression, 'xgboost': boosted, 'sklearn_centroid': centroid}
took = {name: 0.0 for name in RANKERS}
for task in tasks:
    def load(name, kind):
        return np.fromfile(os.path.join(folder, '%d.%s' % (task['n'], name)), dtype=kind)

    offsets, features, labels = load('offsets', '<u4'), load('features', '<u4'), load('labels', 'u1')
    matrix = sp.csr_matrix((np.ones(len(features), dtype=np.float32), features.astype(np.int32), offsets.astype(np.int32)), shape=(len(offsets) - 1, task['width']))
    matrix.sort_indices()
    for name, ranker in RANKERS.items():
        start = time.process_time()
        scores = ranker(matrix, labels)
        took[name] += time.process_time() - start
        np.asarray(scores, dtype='<f8').tofile(os.path.join(folder, '%d.%s' % (task['n'], name)))
print(json.dumps({'took_s': took, 'versions': {'sklearn': __import__('sklearn').__version__, 'xgboost': xgb.__version__}}))
