"""Train on the embedded digits, look at the scores, predict: python examples/quickstart.py"""

import photopic

run = photopic.train("digits", seed=0)
print(run.path)
print(run.evaluate().scores["test"].accuracy)

digits = photopic.open_dataset("digits")
first = digits.image(0)[None]  # (1, 8, 8, 1) uint8; paths of files, folders and zips work as well
print(run.predict(first, top_k=3)[0])
