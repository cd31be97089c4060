"""The transforms: higher-order functions over pure Python functions of arrays. Each composes with each, in any order."""
