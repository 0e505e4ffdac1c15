"A model file of a few hundred bytes whose rule you can check by eye: a label for each colour, the photo's mean colour decides."
import json
import onnx
from onnx import TensorProto, helper
import numpy as np
from onnx.numpy_helper import from_array

SEED = 'glasses', 'sunglasses', 'VR', 'none'
COLOURS = dict(red=(255,0,0), green=(0,255,0), blue=(0,0,255), white=(255,255,255)) # the labels' colours, in order

def quarter_of(n, side):
    "For each of `n` labels 4 in its quarter of a photo, 0 elsewhere: float32 [1, n, side, side]"
    out = np.zeros((1,n,side,side), np.float32)
    half = -(-side//2)
    for i in range(n):
        top = half*(i//2%2)
        left = half*(i%2)
        out[0,i,top:top+half,left:left+half] = 4
    return out

def colour_nodes(pool, quarters):
    "From a photo to the probability of each label: a logit is -10 times the squared distance to its colour, less what all share"
    nodes = [helper.make_node('Cast', ['photo'], ['float'], to=TensorProto.FLOAT),
        helper.make_node('Transpose', ['float'], ['chw'], perm=[0,3,1,2]),
        helper.make_node('AveragePool', ['chw'], ['small'], kernel_shape=[pool]*2, strides=[pool]*2),
        helper.make_node('Conv', ['small','w'], ['heat'])]
    if quarters: nodes.append(helper.make_node('Mul', ['heat','quarters'], ['seen']))
    return nodes+[helper.make_node('GlobalAveragePool', ['seen' if quarters else 'heat'], ['pooled']),
        helper.make_node('Flatten', ['pooled'], ['flat']),
        helper.make_node('Add', ['flat','b'], ['logits']),
        helper.make_node('Softmax', ['logits'], ['probs'], axis=1)]

unknown_nodes = [helper.make_node('ReduceMax', ['probs','axis'], ['top'], keepdims=0), helper.make_node('Sub', ['one','top'], ['unknown'])]

def tiny_graph(labels, size, side, unknown, quarters):
    "The network of `tiny_model`"
    n = len(labels)
    colours = np.array(list(COLOURS.values())[:n], dtype=np.float32)/255
    weights = (20*colours/255)[:,:,None,None].astype(np.float32)
    bias = (-10*(colours**2).sum(1)).astype(np.float32)
    nodes = colour_nodes(size//side, quarters)
    inputs = [helper.make_tensor_value_info('photo', TensorProto.UINT8, ['n',size,size,3])]
    outputs = [helper.make_tensor_value_info('probs', TensorProto.FLOAT, ['n',n]),
        helper.make_tensor_value_info('heat', TensorProto.FLOAT, ['n',n,side,side])]
    constants = [from_array(weights, 'w'), from_array(bias, 'b')]
    if unknown:
        nodes += unknown_nodes
        outputs.append(helper.make_tensor_value_info('unknown', TensorProto.FLOAT, ['n']))
        constants += [from_array(np.array([1]), 'axis'), from_array(np.float32(1), 'one')]
    if quarters: constants.append(from_array(quarter_of(n, side), 'quarters'))
    return helper.make_graph(nodes, 'tiny', inputs, outputs, constants)

def tiny_model(
    path,            # Where to write it
    labels=SEED,
    question='Is the person wearing glasses/sunglasses or a VR headset?',
    size=224,        # Side of the square that it takes, px
    side=7,          # Of the heat map
    unknown=False,   # Does it say how little it knows a photo? 1 less the largest probability
    quarters=False,  # Does each label look at a quarter of the photo alone, so that a turned photo is another one?
    **metadata       # In upper case, replaces what the file says of itself; None leaves it out
):
    "Write a model file of the shape that `eyewear.predict` reads; returns `path`"
    graph = tiny_graph(labels, size, side, unknown, quarters)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 18)], ir_version=9)
    squeezed = size-(-size*14//800)*8 # fastai's 14 %, up to a multiple of 8
    props = dict(labels=json.dumps(list(labels)), question=question, size=str(size), resize=f'squeeze {squeezed}, centre {size}',
        source='practice', record='{}', digest='0'*16, eyewear_version='0')
    props |= {k.lower():v for k,v in metadata.items()}
    helper.set_model_props(model, {k:v for k,v in props.items() if v is not None})
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(path))
    return path
