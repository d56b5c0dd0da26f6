"""Names of Keras that this package doesn't have: an error only where they are used."""

from __future__ import annotations

from collections.abc import Callable

_IMAGES = "images are not rnnkit's subject: use Keras itself"
_TEXT = "make integer ids of the text yourself, for example with a dict of the words, and use layers.Embedding"
_DOWNLOADS = "nothing is downloaded here: load the arrays yourself, or see rnnkit.datasets"
_OTHER = "it belongs to another library"
_DEVICES = "rnnkit runs on one machine; see layer.to('cuda') and rnnkit.set_num_threads"

WHY = {
    "": {
        "Function Operation Quantizer RematScope StatelessScope SymbolicScope": "it is a part of Keras's own "
        "machinery; a layer or a model of your own does the same with call and add_weight",
        "device distribution distillation remat name_scope": _DEVICES,
        "export quantizers wrappers visualization": "see model.save and rnnkit.onnx.export",
        "legacy src": "it holds what Keras keeps for its old versions",
    },
    "callbacks": {
        "OrbaxCheckpoint": "use callbacks.ModelCheckpoint",
        "RemoteMonitor": "write a callback that sends the logs",
    },
    "layers": {
        "AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveAveragePooling3D AdaptiveMaxPooling1D "
        "AdaptiveMaxPooling2D AdaptiveMaxPooling3D AveragePooling2D AveragePooling3D AvgPool2D AvgPool3D Conv2D "
        "Conv2DTranspose Conv3D Conv3DTranspose Convolution2D Convolution2DTranspose Convolution3D "
        "Convolution3DTranspose Cropping2D Cropping3D DepthwiseConv2D GlobalAveragePooling2D GlobalAveragePooling3D "
        "GlobalAvgPool2D GlobalAvgPool3D GlobalMaxPool2D GlobalMaxPool3D GlobalMaxPooling2D GlobalMaxPooling3D "
        "MaxPool2D MaxPool3D MaxPooling2D MaxPooling3D SeparableConv2D SeparableConvolution2D SpatialDropout2D "
        "SpatialDropout3D UpSampling2D UpSampling3D ZeroPadding2D ZeroPadding3D MaxNumBoundingBoxes "
        "AugMix AutoContrast CenterCrop ContrastLimitedAdaptiveHistogramEqualization CutMix Equalization MixUp "
        "RandAugment RandomBrightness RandomColorDegeneration RandomColorJitter RandomContrast RandomCrop "
        "RandomElasticTransform RandomErasing RandomFlip RandomGaussianBlur RandomGrayscale RandomHue RandomInvert "
        "RandomPerspective RandomPosterization RandomRotation RandomSaturation RandomSharpness RandomShear "
        "RandomTranslation RandomZoom Resizing Solarization": _IMAGES,
        "Conv1DTranspose Convolution1DTranspose DepthwiseConv1D SeparableConv1D SeparableConvolution1D": "use "
        "layers.Conv1D, or a layer of your own",
        "TextVectorization StringLookup IntegerLookup Hashing HashedCrossing": _TEXT,
        "CategoryEncoding Discretization": "do it in NumPy before the model: np.eye(n)[ids], np.digitize(x, edges)",
        "MelSpectrogram STFTSpectrogram": "compute it before the model, for example with scipy.signal",
        "FlaxLayer JaxLayer TFSMLayer TorchModuleWrapper": _OTHER,
        "GroupQueryAttention ReversibleEmbedding RMSNormalization SpectralNormalization "
        "Pipeline EinsumDense Wrapper": "write it as a layer of your own, with build and call",
        "ActivityRegularization": "give the layer before it an activity_regularizer, or call add_loss",
        "Normalization Rescaling": "do it in NumPy before the model, (x - x.mean(0)) / x.std(0), or in a layers.Lambda",
    },
    "losses": {
        "Circle circle CTC ctc Dice dice Tversky tversky BinaryFocalCrossentropy binary_focal_crossentropy "
        "CategoricalFocalCrossentropy categorical_focal_crossentropy CategoricalGeneralizedCrossEntropy "
        "categorical_generalized_cross_entropy": "write it as a function of (y_true, y_pred) in NumPy or keras.ops",
    },
    "metrics": {
        "BinaryIoU IoU MeanIoU OneHotIoU OneHotMeanIoU": _IMAGES,
        "binary_focal_crossentropy categorical_focal_crossentropy": "write it as a function of (y_true, y_pred)",
        "ConcordanceCorrelation concordance_correlation PearsonCorrelation pearson_correlation PrecisionAtRecall "
        "RecallAtPrecision SensitivityAtSpecificity SpecificityAtSensitivity": "compute it from model.predict(x), for "
        "example with scikit-learn or SciPy",
    },
    "optimizers": {
        "Adafactor Ftrl LossScaleOptimizer MultiOptimizer OptimizerMap Muon ScheduleFreeAdamW Lamb": "write it as a "
        "subclass of rnnkit.optimizers.Optimizer with a rule",
    },
    "utils": {
        "array_to_img img_to_array load_img save_img image_dataset_from_directory bounding_boxes": _IMAGES,
        "audio_dataset_from_directory text_dataset_from_directory": "read the files yourself, and give fit arrays",
        "get_file": _DOWNLOADS,
        "FeatureSpace": _TEXT,
        "model_to_dot": "plot_model draws without graphviz; model.summary() has a table",
        "Config get_source_inputs legacy": "it is a part of Keras's own machinery",
    },
    "regularizers": {
        "OrthogonalRegularizer orthogonal_regularizer": "write it as a subclass of rnnkit.regularizers.Regularizer",
    },
    "initializers": {"STFT STFTInitializer stft": "compute the matrix with NumPy, and give initializers.Constant"},
    "config": {
        "disable_flash_attention enable_flash_attention is_flash_attention_enabled is_nnx_enabled": _OTHER,
        "max_epochs max_steps_per_epoch set_max_epochs set_max_steps_per_epoch": "give fit epochs and steps_per_epoch",
    },
    "dtype_policies": {
        "AWQDTypePolicy DTypePolicyMap GPTQDTypePolicy Int4DTypePolicy QuantizedDTypePolicy "
        "QuantizedFloat8DTypePolicy": "weights are float32 or float64",
    },
    "mixed_precision": {"LossScaleOptimizer": "float32 and float64 need no scale"},
    "preprocessing": {"image image_dataset_from_directory": _IMAGES, "text text_dataset_from_directory": _TEXT},
    "tree": {
        "MAP_TO_NONE assert_same_paths flatten_with_path lists_to_tuples map_shape_structure map_structure_up_to "
        "traverse": "see tree.flatten and tree.map_structure",
    },
    "saving": {"KerasFileEditor": "read the arrays of a file with keras.models.load_model"},
    "applications": {
        "ConvNeXtBase ConvNeXtLarge ConvNeXtSmall ConvNeXtTiny ConvNeXtXLarge DenseNet121 DenseNet169 DenseNet201 "
        "EfficientNetB0 EfficientNetB1 EfficientNetB2 EfficientNetB3 EfficientNetB4 EfficientNetB5 EfficientNetB6 "
        "EfficientNetB7 EfficientNetV2B0 EfficientNetV2B1 EfficientNetV2B2 EfficientNetV2B3 EfficientNetV2L "
        "EfficientNetV2M EfficientNetV2S InceptionResNetV2 InceptionV3 MobileNet MobileNetV2 MobileNetV3Large "
        "MobileNetV3Small NASNetLarge NASNetMobile ResNet101 ResNet101V2 ResNet152 ResNet152V2 ResNet50 ResNet50V2 "
        "VGG16 VGG19 Xception convnext densenet efficientnet efficientnet_v2 imagenet_utils inception_resnet_v2 "
        "inception_v3 mobilenet mobilenet_v2 mobilenet_v3 nasnet resnet resnet50 resnet_v2 vgg16 vgg19 "
        "xception": _IMAGES,
    },
    "datasets": {
        "boston_housing california_housing cifar10 cifar100 fashion_mnist imdb mnist reuters": _DOWNLOADS,
    },
}


class LeftOut:
    """Placeholder for a name of Keras that is not here: importing it is no error, and using it is one."""

    def __init__(self, name: str, why: str):
        object.__setattr__(self, "_message", f"keras.{name} is not in rnnkit.keras: {why}")

    def __call__(self, *arguments, **keywords):
        """Raise an error that says what to do instead."""
        raise NotImplementedError(self._message)

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        raise NotImplementedError(self._message)

    def __mro_entries__(self, bases):
        raise NotImplementedError(self._message)

    def __instancecheck__(self, value):
        return False

    def __repr__(self):
        return f"<{self._message}>"


def left_out(module: str, name: str) -> LeftOut:
    """Return the placeholder of a name that is left out on purpose; an AttributeError for one that isn't Keras's."""
    for names, why in WHY.get(module, {}).items():
        if name in names.split():
            return LeftOut(f"{module}.{name}" if module else name, why)
    raise AttributeError(f"module 'rnnkit.keras{'.' * bool(module)}{module}' has no attribute {name!r}")


def others(module: str) -> Callable[[str], LeftOut]:
    """Return ``__getattr__`` for a module that defines all other names itself."""
    return lambda name: left_out(module, name)
