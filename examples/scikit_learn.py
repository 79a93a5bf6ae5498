"""Cross-validate photopic as any scikit-learn classifier: python examples/scikit_learn.py"""

from sklearn.datasets import load_digits
from sklearn.model_selection import cross_val_score

from photopic import PhotopicClassifier

digits = load_digits()
images = (digits.images * 255 / 16).astype("uint8")  # (1797, 8, 8)

classifier = PhotopicClassifier(recipe="digits", random_state=0)
accuracies = cross_val_score(classifier, images, digits.target, cv=3)
print(f"accuracy {accuracies.mean():.3f} over {len(accuracies)} folds")
