"""The scripts are programs that import Keras, and no modules of tests; so is what runs Keras's own tests."""

collect_ignore_glob = ["scripts/*", "run_keras_tests.py"]
