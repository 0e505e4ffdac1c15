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
    out, half = np.zeros((1,n,side,side), np.float32), -(-side//2)
    for i in range(n):
        top, left = half*(i//2%2), half*(i%2)
        out[0,i,top:top+half,left:left+half] = 4
    return out

def tiny_model(path, labels=SEED, question='Is the person wearing glasses/sunglasses or a VR headset?', size=224, side=7, unknown=False, quarters=False, **metadata):
    "Write a model file of the shape that `eyewear.predict` reads to `path`; `metadata` (upper case) replaces what it says of itself, None leaves it out; `unknown` is 1 less the largest probability; with `quarters` each label looks at a quarter of the photo alone, so that a turned photo is another one"
    ref = np.array(list(COLOURS.values())[:len(labels)], dtype=np.float32)/255
    w,b = 20*ref, -10*(ref**2).sum(1)                 # a logit is -10 times the squared distance, less what all share
    nodes = [helper.make_node('Cast', ['photo'], ['float'], to=TensorProto.FLOAT),
             helper.make_node('Transpose', ['float'], ['chw'], perm=[0,3,1,2]),
             helper.make_node('AveragePool', ['chw'], ['small'], kernel_shape=[size//side]*2, strides=[size//side]*2),
             helper.make_node('Conv', ['small','w'], ['heat']),
             *([helper.make_node('Mul', ['heat','quarters'], ['seen'])] if quarters else []),
             helper.make_node('GlobalAveragePool', ['seen' if quarters else 'heat'], ['pooled']),
             helper.make_node('Flatten', ['pooled'], ['flat']),
             helper.make_node('Add', ['flat','b'], ['logits']),
             helper.make_node('Softmax', ['logits'], ['probs'], axis=1)]
    more = [helper.make_tensor_value_info('unknown', TensorProto.FLOAT, ['n'])] if unknown else []
    if unknown: nodes += [helper.make_node('ReduceMax', ['probs','axis'], ['top'], keepdims=0), helper.make_node('Sub', ['one','top'], ['unknown'])]
    consts = [from_array(np.array([1]), 'axis'), from_array(np.float32(1), 'one')] if unknown else []
    if quarters: consts.append(from_array(quarter_of(len(labels), side), 'quarters'))
    graph = helper.make_graph(nodes, 'tiny',
        [helper.make_tensor_value_info('photo', TensorProto.UINT8, ['n',size,size,3])],
        [helper.make_tensor_value_info('probs', TensorProto.FLOAT, ['n',len(labels)]),
         helper.make_tensor_value_info('heat', TensorProto.FLOAT, ['n',len(labels),side,side]), *more],
        [from_array((w/255)[:,:,None,None].astype(np.float32), 'w'), from_array(b.astype(np.float32), 'b'), *consts])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 18)], ir_version=9)
    extra = -(-size*14//800)*8                        # fastai's 14 %, up to a multiple of 8
    props = dict(labels=json.dumps(list(labels)), question=question, size=str(size), resize=f'squeeze {size+extra}, centre {size}',
                 source='practice', record='{}', digest='0'*16, eyewear_version='0') | {k.lower():v for k,v in metadata.items()}
    helper.set_model_props(model, {k:v for k,v in props.items() if v is not None})
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(path))
    return path
