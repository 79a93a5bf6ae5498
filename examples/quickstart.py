"""Train on the embedded digits, look at the scores, predict: python examples/quickstart.py"""

import photopic

run = photopic.train("digits", seed=0)
print(run.path)

scores = photopic.evaluate(run)
print(scores.accuracy)

predictions = photopic.predict(run, "digit.png", top_k=3)
print(predictions)
