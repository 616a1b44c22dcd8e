"""The base class of tuners."""

import nni


class Tuner:
    def generate_parameters(self, parameter_id, **kwargs):
        raise NotImplementedError

    def generate_multiple_parameters(self, parameter_id_list, **kwargs):
        several = []
        for parameter_id in parameter_id_list:
            try:
                several.append(self.generate_parameters(parameter_id, **kwargs))
            except nni.NoMoreTrialError:
                return several
        return several

    def receive_trial_result(self, parameter_id, parameters, value, **kwargs):
        raise NotImplementedError

    def trial_end(self, parameter_id, success, **kwargs):
        pass

    def update_search_space(self, search_space):
        raise NotImplementedError

    def import_data(self, data):
        pass

    def load_checkpoint(self):
        pass

    def save_checkpoint(self):
        pass

    def _on_exit(self):
        pass

    def _on_error(self):
        pass
